"""What Redis does in one step, in Lua. Keys come first: the key, its lease, and the stamps of its groups."""

from hashlib import sha1
from typing import Final

__all__ = ["CLAIM", "FILL", "GIVE_BACK", "SWAP", "Script"]


class Script:
    """A script, by its text and by the digest under which servers remember it."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.digest = sha1(self.text, usedforsecurity=False).hexdigest().encode()


CLAIM: Final = Script("""
local function stands(key, seen) return (redis.call('GET', key) or '') == seen end
local nonce = redis.pcall('GETRANGE', KEYS[1], 8, 23)
if type(nonce) == 'table' then nonce = '' end
if nonce ~= ARGV[1] or not stands(KEYS[2], ARGV[2]) then return 0 end
for i = 3, #KEYS do
  if not stands(KEYS[i], ARGV[i + 2]) then return 0 end
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1
""")
"""Take the lease, if all is as it was seen: the nonce under the key, the lease, the stamps.

Arguments: the nonce and the lease that were seen (empty: none), the new lease, its milliseconds; the stamps seen.
"""

FILL: Final = Script("""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
for i = 3, #KEYS do
  if redis.call('GET', KEYS[i]) ~= ARGV[i + 1] then return 0 end
end
local ms = tonumber(ARGV[3])
if ms == 0 then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ms) end
for i = 3, #KEYS do
  local left = redis.call('PTTL', KEYS[i])
  if ms == 0 then redis.call('PERSIST', KEYS[i])
  elseif left >= 0 and left < ms then redis.call('PEXPIRE', KEYS[i], 2 * ms) end
end
return 1
""")
"""Store a value under the key, if the lease and the stamps are those under which it was made; and end the lease.

The stamps are kept for as long as the value. Arguments: the lease, the value, its milliseconds (0: for ever); the
stamps.
"""

GIVE_BACK: Final = Script("""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[2])
""")
"""End the lease. Argument: the lease."""

SWAP: Final = Script("""
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
""")
"""Store a user's value instead of another, and end the lease.

Arguments: the old (empty: none), the new, its milliseconds.
"""
