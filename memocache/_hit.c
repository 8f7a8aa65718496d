/* A hit in process, in C: the entry, and the call that looks one up.

   A cached function is called here first. Where its arguments lead to an entry that may still be served, that is all:
   the hit is counted and the value returned, without a Python frame. Everything else goes to the generated call
   (`_compile`), which has the same rule in Python and is the only one where this module is not built:

       entry = table[raw arguments]
       if entry.serve_from <= time.time() < entry.serve_until and the types of the arguments are entry.arg_types:
           entry.hits += 1
           return entry.value

   What is not certain is left to that call, too: names that are given twice, a key that cannot be hashed or compared, a
   clock that somebody has moved in a way that is not known here. What has to be bound in Python (parameters with stars,
   methods bound before) or is to be looked up later (a coroutine function, when it is awaited) is looked up by a
   function of here that the generated call calls.

   Rules that keep it safe: whatever is borrowed from a container is owned before code of the user's may run, which is in
   `__hash__` and `__eq__` of arguments, in a clock that is frozen, and wherever a reference is given up. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <structmember.h>
#include <time.h>

/* Not built, so that the call in Python is used: */
#ifdef Py_GIL_DISABLED
#error "Importing this would bring the GIL back, and what is borrowed here is safe by it."
#endif
#if defined(PYPY_VERSION) || defined(GRAALVM_PYTHON)
#error "This relies on how CPython lays out and collects objects."
#endif

/* ---- Entry ------------------------------------------------------------------------------------------------------- */

/* There may be millions. Most have a value that holds nothing else, such as a number or a text; then nothing that the
   entry has leads back to it, since a scope holds its indexes weakly, and the arguments in one are plain. Such an entry
   is not the garbage collector's, which takes 16 bytes less and spares that the way. Any other value makes one of the
   second type; so key, value and scope are not for anybody to set. The methods of both are written in Python; but no
   class is made there on top of the first, for that would be the collector's again. */

typedef struct {
    PyObject_HEAD
    PyObject *key, *value, *scope, *args, *arg_types;
    double serve_from, serve_until; /* seconds of the wall clock */
    double cost;                    /* microseconds */
    long long hits, hits_counted;
} Entry;

static PyTypeObject *entry_type, *collected_type; /* the module is never unloaded; see module_exec */

/* T_OBJECT_EX, as the slots of a Python class: the interpreter reads these without asking the member. */
static PyMemberDef entry_members[] = {
    {"key", T_OBJECT_EX, offsetof(Entry, key), READONLY, NULL},
    {"value", T_OBJECT_EX, offsetof(Entry, value), READONLY, NULL},
    {"scope", T_OBJECT_EX, offsetof(Entry, scope), READONLY, NULL},
    {"args", T_OBJECT_EX, offsetof(Entry, args), 0, NULL},
    {"arg_types", T_OBJECT_EX, offsetof(Entry, arg_types), 0, NULL},
    {"serve_from", T_DOUBLE, offsetof(Entry, serve_from), 0, NULL},
    {"serve_until", T_DOUBLE, offsetof(Entry, serve_until), 0, NULL},
    {"expires_at", T_DOUBLE, offsetof(Entry, serve_until), 0, NULL}, /* unless a subclass has its own */
    {"cost", T_DOUBLE, offsetof(Entry, cost), 0, NULL},
    {"hits", T_LONGLONG, offsetof(Entry, hits), 0, NULL},
    {"hits_counted", T_LONGLONG, offsetof(Entry, hits_counted), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* Return whether nothing but an entry's scope and arguments is to be had by its *key* and *value*. */
static int
are_atomic(PyObject *key, PyObject *value)
{
    return PyUnicode_CheckExact(key) &&
           (value == Py_None || PyUnicode_CheckExact(value) || PyLong_CheckExact(value) || PyFloat_CheckExact(value) ||
            PyBool_Check(value) || PyBytes_CheckExact(value));
}

static PyObject *
entry_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (type == entry_type && !(PyTuple_GET_SIZE(args) > 1 && /* as they are always given */
                                are_atomic(PyTuple_GET_ITEM(args, 0), PyTuple_GET_ITEM(args, 1)))) {
        type = collected_type;
    }
    return type->tp_alloc(type, 0);
}

static int
entry_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key", "value", "serve_until", "cost", "scope", NULL};
    Entry *entry = (Entry *)self;
    PyObject *key, *value, *scope = Py_None;
    double serve_until, cost = 0.0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOd|dO:Entry", names, &key, &value, &serve_until, &cost, &scope)) {
        return -1;
    }
    if (Py_TYPE(self) == entry_type && !are_atomic(key, value)) {
        PyErr_SetString(PyExc_TypeError, "an entry of this type cannot have such a key or value");
        return -1;
    }
    entry->serve_from = 0.0;
    entry->serve_until = serve_until;
    entry->cost = cost;
    entry->hits = entry->hits_counted = 0;
    Py_XSETREF(entry->key, Py_NewRef(key));
    Py_XSETREF(entry->value, Py_NewRef(value));
    Py_XSETREF(entry->scope, Py_NewRef(scope));
    Py_XSETREF(entry->args, Py_NewRef(Py_None));
    Py_XSETREF(entry->arg_types, Py_NewRef(Py_None));
    return 0;
}

static int
entry_traverse(PyObject *self, visitproc visit, void *arg)
{
    Entry *entry = (Entry *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(entry->key);
    Py_VISIT(entry->value);
    Py_VISIT(entry->scope);
    Py_VISIT(entry->args);
    Py_VISIT(entry->arg_types);
    return 0;
}

static int
entry_clear(PyObject *self)
{
    Entry *entry = (Entry *)self;
    Py_CLEAR(entry->key);
    Py_CLEAR(entry->value);
    Py_CLEAR(entry->scope);
    Py_CLEAR(entry->args);
    Py_CLEAR(entry->arg_types);
    return 0;
}

static void
entry_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    entry_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static void
collected_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, collected_dealloc) /* a value may hold the next entry, and so on */
    entry_dealloc(self);
    Py_TRASHCAN_END
}

static PyType_Slot entry_slots[] = {
    {Py_tp_members, entry_members}, {Py_tp_new, entry_new}, {Py_tp_init, entry_init}, {Py_tp_dealloc, entry_dealloc},
    {0, NULL},
};

static PyType_Spec entry_spec = {
    "memocache._entry.Entry", sizeof(Entry), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, entry_slots,
};

static PyType_Slot collected_slots[] = {
    {Py_tp_traverse, entry_traverse}, {Py_tp_clear, entry_clear}, {Py_tp_dealloc, collected_dealloc}, {0, NULL},
};

static PyType_Spec collected_spec = {
    "memocache._entry.CollectedEntry", sizeof(Entry), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, collected_slots,
};

/* ---- the clock --------------------------------------------------------------------------------------------------- */

/* freezegun puts another function into the time module; time-machine puts another C function into Python's own. Where
   neither has, the clock is read without a call: that alone is 40 ns less. Either may have done so before this is
   imported, and may have moved the clock only a little by then; so what counts as the real function is the one whose
   code is where its own description is, in Python itself. */

static PyObject *time_module_dict, *time_name, *real_time;
static PyCFunction real_time_function;

/* Return whether *function* is still what the time module was built with. */
static int
is_original(PyObject *function)
{
    Dl_info code, description;
    PyMethodDef *method;
    if (function == NULL || !PyCFunction_CheckExact(function)) {
        return 0;
    }
    method = ((PyCFunctionObject *)function)->m_ml;
    return dladdr((void *)(uintptr_t)method->ml_meth, &code) && dladdr(method, &description) &&
           code.dli_fbase == description.dli_fbase;
}

/* Return what `time.time` is now, borrowed; NULL if there is none. */
static inline PyObject *
present_time(void)
{
#if PY_VERSION_HEX < 0x030C0000 /* PEP 509: it is what it was while the version of the dict that has it is the same */
    static PyObject *function;
    static uint64_t version;
    uint64_t now = ((PyDictObject *)time_module_dict)->ma_version_tag;
    if (version == now) {
        return function;
    }
    version = now;
    return function = PyDict_GetItemWithError(time_module_dict, time_name);
#else
    return PyDict_GetItemWithError(time_module_dict, time_name);
#endif
}

/* Set *seconds* to what time.time() says; return -1 if that raises, or is not there. */
static inline int
read_clock(double *seconds)
{
    PyObject *function = present_time();
    if (function != NULL && function == real_time &&
        ((PyCFunctionObject *)function)->m_ml->ml_meth == real_time_function) {
        struct timespec spec;
        if (clock_gettime(CLOCK_REALTIME, &spec) == 0) {
            *seconds = (double)spec.tv_sec + 1e-9 * (double)spec.tv_nsec;
            return 0;
        }
    }
    Py_XINCREF(function);
    PyObject *told = function == NULL ? NULL : PyObject_CallNoArgs(function);
    Py_XDECREF(function);
    if (told == NULL) {
        return -1;
    }
    *seconds = PyFloat_AsDouble(told);
    Py_DECREF(told);
    return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* ---- the look-up ------------------------------------------------------------------------------------------------- */

static PyObject *missing; /* stands for no default, and for no value */

/* Where the entry of a call is found by its arguments, once they are in the order of the parameters. */
typedef struct {
    PyObject *table;     /* dict: raw arguments -> entry; NULL: no call of this function is a hit here */
    PyObject *tokens;    /* dict: id of an instance -> its token */
    Py_ssize_t number;   /* of arguments */
    Py_ssize_t instance; /* which one is the instance, known by its token; -1: none */
} Lookup;

/* Return the key in the table, new; NULL if there is none, with or without an exception. */
static inline PyObject *
raw_key(const Lookup *lookup, PyObject *const *bound)
{
    PyObject *token = NULL;
    if (lookup->instance >= 0) {
        PyObject *id = PyLong_FromVoidPtr(bound[lookup->instance]);
        if (id == NULL) {
            return NULL;
        }
        token = Py_XNewRef(PyDict_GetItemWithError(lookup->tokens, id));
        Py_DECREF(id);
        if (token == NULL || lookup->number == 1) {
            return token;
        }
    }
    else if (lookup->number == 1) {
        return Py_NewRef(bound[0]);
    }
    PyObject *key = PyTuple_New(lookup->number);
    if (key == NULL) {
        Py_XDECREF(token);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < lookup->number; i++) {
        PyTuple_SET_ITEM(key, i, i == lookup->instance ? token : Py_NewRef(bound[i]));
    }
    return key;
}

/* Return whether the arguments, the instance left out, are of just the types that the entry was stored for. */
static inline int
same_types(const Lookup *lookup, Entry *entry, PyObject *const *bound)
{
    PyObject *types = entry->arg_types;
    Py_ssize_t typed = lookup->number - (lookup->instance >= 0);
    if (typed == 1) {
        return types == (PyObject *)Py_TYPE(bound[lookup->instance == 0 ? 1 : 0]);
    }
    if (types == NULL || !PyTuple_CheckExact(types) || PyTuple_GET_SIZE(types) != typed) {
        return 0;
    }
    for (Py_ssize_t i = 0, t = 0; i < lookup->number; i++) {
        if (i != lookup->instance && PyTuple_GET_ITEM(types, t++) != (PyObject *)Py_TYPE(bound[i])) {
            return 0;
        }
    }
    return 1;
}

/* Return the value of the entry that the arguments lead to, new, and count the hit; NULL if it may not be served. An
   exception is set only by what has to reach the caller. */
static inline PyObject *
found(const Lookup *lookup, PyObject *const *bound)
{
    Entry *entry = NULL;
    PyObject *key = raw_key(lookup, bound);
    if (key != NULL) {
        entry = (Entry *)PyDict_GetItemWithError(lookup->table, key);
        Py_XINCREF(entry); /* giving up the key may run a destructor */
        Py_DECREF(key);
    }
    if (entry != NULL) {
        double now;
        if (Py_TYPE(entry) == entry_type || Py_TYPE(entry) == collected_type ||
            PyType_IsSubtype(Py_TYPE(entry), entry_type)) {
            if (same_types(lookup, entry, bound) && read_clock(&now) == 0 && entry->serve_from <= now &&
                now < entry->serve_until) {
                PyObject *value = Py_XNewRef(entry->value);
                if (value != NULL) {
                    entry->hits++;
                    Py_DECREF(entry);
                    return value;
                }
            }
        }
        Py_DECREF(entry);
    }
    /* Unhashable, or what cannot be compared: its key decides. Not so KeyboardInterrupt in somebody's __eq__. */
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
    }
    return NULL;
}

/* The same for calls that are bound in Python: *self* is what `lookup` has put there, and what is no hit is `missing`. */
static PyObject *
look(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    Lookup lookup = {PyTuple_GET_ITEM(self, 0), NULL, given, -1};
    if (PyTuple_GET_SIZE(self) == 3) {
        lookup.tokens = PyTuple_GET_ITEM(self, 1);
        lookup.instance = PyLong_AsSsize_t(PyTuple_GET_ITEM(self, 2));
    }
    PyObject *value = lookup.instance < given ? found(&lookup, args) : NULL;
    return value == NULL && !PyErr_Occurred() ? Py_NewRef(missing) : value;
}

static PyMethodDef look_method = {"look", (PyCFunction)(void (*)(void))look, METH_FASTCALL, NULL};

PyDoc_STRVAR(lookup_doc,
"lookup(table, tokens, instance)\n--\n\n"
"Return a function for calls that are bound in Python: it takes all that is in the key, in its order, and returns the\n"
"value of a hit, or `missing`. *instance* says which is known by its token in *tokens*; -1: none.");

static PyObject *
lookup(PyObject *module, PyObject *args)
{
    PyObject *table, *tokens;
    Py_ssize_t instance;
    if (!PyArg_ParseTuple(args, "O!O!n:lookup", &PyDict_Type, &table, &PyDict_Type, &tokens, &instance)) {
        return NULL;
    }
    PyObject *found_in = Py_BuildValue(instance < 0 ? "(O)" : "(OOn)", table, tokens, instance);
    PyObject *function = found_in == NULL ? NULL : PyCFunction_New(&look_method, found_in);
    Py_XDECREF(found_in);
    return function;
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

#define MOST_PARAMETERS 8

typedef struct {
    vectorcallfunc vectorcall;
    PyObject *compile; /* returns the generated call; asked once, when the function is first called */
    PyObject *call;    /* that call, for what is no hit; NULL before */
    Lookup lookup;
    PyObject *names;    /* tuple of the parameters' names, interned */
    PyObject *defaults; /* tuple, an item a parameter; one without a default has `missing` */
    PyObject *binder;   /* called by __get__ with this function, the instance and its class */
    Py_ssize_t positional_only; /* of the parameters, those that cannot be named */
    Py_ssize_t positional;      /* of them, those that need not be named */
} Hit;

static Py_ssize_t offset; /* of Hit within a cached function: behind what the class above it has */

#define HIT(self) ((Hit *)((char *)(self) + offset))

/* Put the arguments in the order of the parameters into *bound*, borrowed. Return 0 if this is no call that can be
   bound for certain: then the generated call decides. */
static inline int
bind(Hit *hit, PyObject *const *args, Py_ssize_t given, PyObject *kwnames, PyObject **bound)
{
    Py_ssize_t i;
    for (i = 0; i < given; i++) {
        bound[i] = args[i];
    }
    for (; i < hit->lookup.number; i++) {
        bound[i] = NULL;
    }
    if (kwnames != NULL) {
        Py_ssize_t named = PyTuple_GET_SIZE(kwnames);
        for (Py_ssize_t n = 0; n < named; n++) {
            PyObject *name = PyTuple_GET_ITEM(kwnames, n);
            for (i = hit->positional_only; i < hit->lookup.number; i++) {
                if (PyTuple_GET_ITEM(hit->names, i) == name) { /* both are interned, as names in code are */
                    break;
                }
            }
            if (i == hit->lookup.number || bound[i] != NULL) {
                return 0;
            }
            bound[i] = args[given + n];
        }
    }
    for (i = given; i < hit->lookup.number; i++) {
        if (bound[i] == NULL) {
            bound[i] = PyTuple_GET_ITEM(hit->defaults, i);
            if (bound[i] == missing) {
                return 0;
            }
        }
    }
    return 1;
}

/* Return the generated call, new. Two threads may both have it made: each is as good. */
static PyObject *
generated_call(Hit *hit)
{
    if (hit->call != NULL) {
        return Py_NewRef(hit->call);
    }
    if (hit->compile == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a cached function is called before it is made");
        return NULL;
    }
    PyObject *compile = Py_NewRef(hit->compile);
    PyObject *call = PyObject_CallNoArgs(compile);
    Py_DECREF(compile);
    if (call != NULL) {
        Py_XSETREF(hit->call, Py_NewRef(call));
    }
    return call;
}

static PyObject *
function_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Hit *hit = HIT(self);
    Py_ssize_t given = PyVectorcall_NARGS(nargsf);
    PyObject *filled[MOST_PARAMETERS];
    PyObject *const *bound = args;
    PyObject *call, *result;
    if (hit->lookup.table == NULL || given > hit->positional) {
        goto generated;
    }
    if (kwnames != NULL || given < hit->lookup.number) {
        if (!bind(hit, args, given, kwnames, filled)) {
            goto generated;
        }
        bound = filled;
    }
    result = found(&hit->lookup, bound);
    if (result != NULL || PyErr_Occurred()) {
        return result;
    }
generated:
    call = generated_call(hit);
    if (call == NULL) {
        return NULL;
    }
    result = PyObject_Vectorcall(call, args, nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
    Py_DECREF(call);
    return result;
}

static PyObject *
function_get(PyObject *self, PyObject *instance, PyObject *owner)
{
    Hit *hit = HIT(self);
    PyObject *words[3] = {self, instance == NULL ? Py_None : instance, owner == NULL ? Py_None : owner};
    if (hit->binder == NULL) {
        return Py_NewRef(self);
    }
    PyObject *binder = Py_NewRef(hit->binder);
    PyObject *result = PyObject_Vectorcall(binder, words, 3, NULL);
    Py_DECREF(binder);
    return result;
}

/* ---- the module -------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(function_type_doc,
"function_type(base, *, are_methods)\n--\n\n"
"Return a final subclass of *base* whose instances are called here. Where they *are methods*, Python calls them with the\n"
"instance, without binding them first.");

static PyObject *
function_type(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"base", "are_methods", NULL};
    PyTypeObject *base;
    int are_methods;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!$p:function_type", names, &PyType_Type, &base, &are_methods)) {
        return NULL;
    }
    Py_ssize_t behind = (base->tp_basicsize + (Py_ssize_t)sizeof(void *) - 1) & ~((Py_ssize_t)sizeof(void *) - 1);
    if (base->tp_itemsize != 0 || base->tp_dictoffset <= 0 || (offset != 0 && offset != behind)) {
        PyErr_SetString(PyExc_TypeError, "all kinds of cached functions have to be of one size, with a dict in it");
        return NULL;
    }
    offset = behind;
    /* As slots that may be empty: the class that Python makes of this visits and clears them. */
    PyMemberDef members[] = {
        {"__vectorcalloffset__", T_PYSSIZET, offset + (Py_ssize_t)offsetof(Hit, vectorcall), READONLY, NULL},
        {"_self_compile", T_OBJECT_EX, offset + (Py_ssize_t)offsetof(Hit, compile), 0, NULL},
        {"_self_call", T_OBJECT_EX, offset + (Py_ssize_t)offsetof(Hit, call), 0, NULL},
        {"_self_table", T_OBJECT_EX, offset + (Py_ssize_t)offsetof(Hit, lookup.table), 0, NULL},
        {"_self_names", T_OBJECT_EX, offset + (Py_ssize_t)offsetof(Hit, names), 0, NULL},
        {"_self_defaults", T_OBJECT_EX, offset + (Py_ssize_t)offsetof(Hit, defaults), 0, NULL},
        {"_self_tokens", T_OBJECT_EX, offset + (Py_ssize_t)offsetof(Hit, lookup.tokens), 0, NULL},
        {"_self_binder", T_OBJECT_EX, offset + (Py_ssize_t)offsetof(Hit, binder), 0, NULL},
        {NULL, 0, 0, 0, NULL},
    };
    PyType_Slot slots[] = {
        {Py_tp_call, PyVectorcall_Call},
        {Py_tp_descr_get, function_get},
        {Py_tp_members, members},
        {0, NULL},
    };
    PyType_Spec spec = {
        "memocache._function.CachedFunction", (int)(offset + (Py_ssize_t)sizeof(Hit)), 0,
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | (are_methods ? Py_TPFLAGS_METHOD_DESCRIPTOR : 0), slots,
    };
    PyObject *bases = PyTuple_Pack(1, base);
    if (bases == NULL) {
        return NULL;
    }
    PyObject *type = PyType_FromSpecWithBases(&spec, bases);
    Py_DECREF(bases);
    /* What a call takes for a tuple or a dict without a look is for nobody to set. The type still visits and clears it. */
    static const char *const hidden[] = {"_self_names", "_self_defaults", "_self_tokens"};
    for (size_t i = 0; type != NULL && i < Py_ARRAY_LENGTH(hidden); i++) {
        if (PyObject_DelAttrString(type, hidden[i]) < 0) {
            Py_CLEAR(type);
        }
    }
    /* Who asks for `__call__` gets that of the class above, which has the signature. Past the type's own setting of it,
       which would have calls look it up, too. */
    PyObject *call = type == NULL ? NULL : PyObject_GetAttrString((PyObject *)base, "__call__");
    if (call == NULL || PyDict_SetItemString(((PyTypeObject *)type)->tp_dict, "__call__", call) < 0) {
        Py_CLEAR(type);
    }
    else {
        PyType_Modified((PyTypeObject *)type);
    }
    Py_XDECREF(call);
    return type;
}

/* Return whether *function* is of a type made above; set an exception if not. Final types, so the call tells. */
static int
is_ours(PyObject *function)
{
    if (Py_TYPE(function)->tp_call == PyVectorcall_Call && Py_TYPE(function)->tp_descr_get == function_get) {
        return 1;
    }
    PyErr_SetString(PyExc_TypeError, "this is no cached function");
    return 0;
}

PyDoc_STRVAR(become_doc,
"become(function, type)\n--\n\n"
"Let *function* be of another *type* that is made here: as a class that has it is made, it is known to be a method.");

static PyObject *
become(PyObject *module, PyObject *args)
{
    PyObject *function;
    PyTypeObject *type;
    if (!PyArg_ParseTuple(args, "OO!:become", &function, &PyType_Type, &type) || !is_ours(function)) {
        return NULL;
    }
    PyTypeObject *before = Py_TYPE(function);
    if (type->tp_descr_get != function_get || type->tp_base != before->tp_base) {
        PyErr_SetString(PyExc_TypeError, "this is no type of that function's kind");
        return NULL;
    }
    Py_INCREF(type);
    Py_SET_TYPE(function, type); /* of one layout: both are made above, of one base */
    Py_DECREF(before);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(prepare_doc,
"prepare(function, compile, binder, uncache)\n--\n\n"
"Let *function* call what *compile* returns, and let *binder* be called by its `__get__`. *uncache* is what its attribute\n"
"of that name is, rather than the method of its class, which is slower; None: it has that.");

static PyObject *
prepare(PyObject *module, PyObject *args)
{
    PyObject *function, *compile, *binder, *uncache;
    if (!PyArg_ParseTuple(args, "OOOO:prepare", &function, &compile, &binder, &uncache) || !is_ours(function)) {
        return NULL;
    }
    if (uncache != Py_None) { /* past wrapt, which would set it on the function in it */
        PyObject *name = PyUnicode_InternFromString("uncache");
        int failed = name == NULL || PyObject_GenericSetAttr(function, name, uncache) < 0;
        Py_XDECREF(name);
        if (failed) {
            return NULL;
        }
    }
    Hit *hit = HIT(function);
    hit->vectorcall = function_vectorcall;
    Py_XSETREF(hit->compile, Py_NewRef(compile));
    Py_XSETREF(hit->binder, Py_NewRef(binder));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(serve_doc,
"serve(function, table, names, defaults, positional_only, positional, instance, tokens)\n--\n\n"
"Let calls of *function* be hits in *table*. Of its parameters *names*, the first *positional_only* cannot be named and\n"
"the first *positional* need not be; *defaults* has an item for each, `missing` where there is none. *instance* says\n"
"which is known by its token in *tokens*; -1: none.");

static PyObject *
serve(PyObject *module, PyObject *args)
{
    PyObject *function, *table, *names, *defaults, *tokens;
    Py_ssize_t positional_only, positional, instance;
    if (!PyArg_ParseTuple(args, "OO!O!O!nnnO!:serve", &function, &PyDict_Type, &table, &PyTuple_Type, &names,
                          &PyTuple_Type, &defaults, &positional_only, &positional, &instance, &PyDict_Type, &tokens)) {
        return NULL;
    }
    if (!is_ours(function)) {
        return NULL;
    }
    Hit *hit = HIT(function);
    Py_ssize_t number = PyTuple_GET_SIZE(names);
    if (number > MOST_PARAMETERS || PyTuple_GET_SIZE(defaults) != number || hit->lookup.table != NULL ||
        positional_only < 0 || positional_only > positional || positional > number || instance >= number) {
        PyErr_SetString(PyExc_ValueError, "these are no parameters of a function that can be served here");
        return NULL;
    }
    hit->lookup.number = number;
    hit->positional_only = positional_only;
    hit->positional = positional;
    hit->lookup.instance = instance < 0 ? -1 : instance;
    Py_XSETREF(hit->names, Py_NewRef(names));
    Py_XSETREF(hit->defaults, Py_NewRef(defaults));
    Py_XSETREF(hit->lookup.tokens, Py_NewRef(tokens));
    hit->lookup.table = Py_NewRef(table); /* last: it is what says that the others are there */
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"function_type", (PyCFunction)(void (*)(void))function_type, METH_VARARGS | METH_KEYWORDS, function_type_doc},
    {"become", become, METH_VARARGS, become_doc},
    {"prepare", prepare, METH_VARARGS, prepare_doc},
    {"serve", serve, METH_VARARGS, serve_doc},
    {"lookup", lookup, METH_VARARGS, lookup_doc},
    {NULL, NULL, 0, NULL},
};

/* Types and what is known of the clock are the process's, and so the main interpreter's. Others call in Python. */
static int
module_exec(PyObject *module)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "memocache._hit is for the main interpreter only");
        return -1;
    }
    if (entry_type == NULL) { /* once, also where it is imported again */
        PyObject *time_module = PyImport_ImportModule("time");
        time_name = PyUnicode_InternFromString("time");
        missing = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
        if (time_module == NULL || time_name == NULL || missing == NULL) {
            return -1;
        }
        time_module_dict = Py_NewRef(PyModule_GetDict(time_module));
        Py_DECREF(time_module);
        real_time = Py_XNewRef(PyDict_GetItemWithError(time_module_dict, time_name));
        if (is_original(real_time)) {
            real_time_function = ((PyCFunctionObject *)real_time)->m_ml->ml_meth;
        }
        else { /* what the real one is cannot be known, and time.time() is called */
            Py_CLEAR(real_time);
        }
        entry_type = (PyTypeObject *)PyType_FromSpec(&entry_spec);
        PyObject *bases = entry_type == NULL ? NULL : PyTuple_Pack(1, entry_type);
        collected_type = bases == NULL ? NULL : (PyTypeObject *)PyType_FromSpecWithBases(&collected_spec, bases);
        Py_XDECREF(bases);
        if (collected_type == NULL) {
            Py_CLEAR(entry_type);
            return -1;
        }
    }
    if (PyModule_AddObjectRef(module, "Entry", (PyObject *)entry_type) < 0 ||
        PyModule_AddObjectRef(module, "CollectedEntry", (PyObject *)collected_type) < 0 ||
        PyModule_AddObjectRef(module, "missing", missing) < 0) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "MOST_PARAMETERS", MOST_PARAMETERS);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_hit", "A hit in process, in C.", 0, module_methods, module_slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__hit(void)
{
    return PyModuleDef_Init(&module_definition);
}
