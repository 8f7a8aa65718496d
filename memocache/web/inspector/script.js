"use strict";
// Search as you type, and newer figures every ten seconds; without this script both take a click.
(() => {
  const here = new URL(location.href);
  if (here.searchParams.has("said")) {  // once: it would be said again whenever the page is loaded
    here.searchParams.delete("said");
    history.replaceState(null, "", here);
  }
  const form = document.querySelector("form.search");
  const EVERY = 10_000, PAUSE = 250;
  let timer = 0, asked = 0;

  async function load(url, parts) {
    const mine = ++asked;
    try {
      const answer = await fetch(url, { credentials: "same-origin", redirect: "error" });
      if (!answer.ok || mine !== asked) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== asked) return;
      for (const part of parts) {
        const old = document.querySelector(part), there = page.querySelector(part);
        if (old && there && !old.contains(document.activeElement)) old.replaceWith(there);
      }
    } catch { /* the next one may be answered */ }
  }

  form?.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const url = "?" + new URLSearchParams(new FormData(form));
      history.replaceState(null, "", url);
      load(url, [".results"]);
    }, PAUSE);
  });

  setInterval(() => {
    if (form && !document.hidden) load(location.href, [".summary", ".hour", ".results"]);
  }, EVERY);
})();
