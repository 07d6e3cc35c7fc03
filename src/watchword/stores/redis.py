"""Attempts counted in Valkey (or Redis), by one script that the server runs as a whole; in the database while that is away.

What may be used once stays in the database: a Valkey that fails over, or evicts, may forget that it was used.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from watchword.core.clock import Clock
from watchword.core.errors import ConfigError
from watchword.core.policy import LEEWAY
from watchword.ports import Hit, Limit, Scratch

logger: logging.Logger = logging.getLogger("watchword.redis")

NAME = "WATCHWORD_REDIS_URL"

PREFIX = "{watchword}:"
"""All keys in one slot of a cluster, so that one script may touch several."""

ANSWER_SECONDS = 0.5
REST_SECONDS = 1.0
"""After a failure nobody asks for so long: each login would wait for the answer that does not come."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
AT_LEAST = timedelta(hours=1) // MILLISECOND
"""Milliseconds for which a key is kept, whatever the clocks say."""

HIT = """
local at, leeway, keep, limits = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), {}
local wait, last, counted = nil, 0, {}
for number = 1, #KEYS / 2 do
    local key, unless = KEYS[2 * number - 1], KEYS[2 * number]
    local interval, period = tonumber(ARGV[2 * number + 2]), tonumber(ARGV[2 * number + 3])
    local spared = tonumber(redis.call('GET', unless) or '0') > at
    if not spared then
        local full, known = at + period, tonumber(redis.call('GET', key) or '0')
        local after = known > full + leeway and full or math.max(known, at) + interval
        if after > full then
            wait = math.max(wait or 0, known + interval - period - at)
        end
        if after + interval > full then last = 1 end
        limits[#limits + 1] = {key, after, math.max(after - at + leeway, keep)}
        counted[#counted + 1] = number
    end
end
if wait then return {-1, string.format('%.0f', wait)} end
for _, limit in ipairs(limits) do
    redis.call('SET', limit[1], string.format('%.0f', limit[2]), 'PX', string.format('%.0f', limit[3]))
end
return {last, unpack(counted)}
"""
"""GCRA for several limits at once: all of them count, or none does. `SqlScratch._count` says why."""

TAKE_BACK = """
for number, key in ipairs(KEYS) do
    local known = tonumber(redis.call('GET', key) or '0')
    if known > 0 then
        redis.call('SET', key, string.format('%.0f', known - tonumber(ARGV[number])), 'KEEPTTL')
    end
end
"""

R = TypeVar("R")


async def answers(url: str) -> str | None:
    """Why there is no answer from a server at this address; None when there is one."""
    try:
        async with Redis.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS) as redis:
            pinged: Any = redis.ping()
            await pinged
    except (RedisError, OSError, ValueError) as error:
        return type(error).__name__
    return None


class RedisScratch:
    """`ports.Scratch` on a server that counts, with another one behind it. Never unlimited, and no fault of the request's."""

    def __init__(
        self, url: str, behind: Scratch, clock: Clock, call: Callable[[Callable[[], Any]], Awaitable[Any]]
    ) -> None:
        self._behind = behind
        self._clock = clock
        self._call = call
        self._rests_until = float("-inf")
        self._away = False
        try:
            self._redis: Any = Redis.from_url(
                url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, decode_responses=True
            )
        except ValueError:
            raise ConfigError(
                f"{NAME} is no address of a Valkey. Write redis://host:6379/0, or rediss:// for TLS."
            ) from None
        self._hit = self._redis.register_script(HIT)
        self._uncount = self._redis.register_script(TAKE_BACK)

    async def hit(self, limits: Sequence[Limit], now: datetime) -> Hit:
        """See `ports.Scratch.hit`."""
        keys = [name for one in limits for name in (_key(one.key), _key(one.unless or ""))]
        lengths = [number for one in limits for number in (_interval(one), _milliseconds(one.period))]
        arguments = [_milliseconds(now - EPOCH), _milliseconds(LEEWAY), AT_LEAST, *lengths]
        found = await self._ask(lambda: self._hit(keys=keys, args=arguments))
        if found is None:
            return await self._behind.hit(limits, now)
        first, *rest = map(int, found)
        if first < 0:
            return Hit(wait=rest[0] * MILLISECOND)
        return Hit(last=bool(first), counted=tuple(limits[number - 1] for number in rest))

    async def take_back(
        self, limits: Sequence[Limit], *, remember: str | None = None, until: datetime | None = None
    ) -> None:
        """See `ports.Scratch.take_back`."""

        async def work() -> bool:
            if limits:
                await self._uncount(keys=[_key(one.key) for one in limits], args=[_interval(one) for one in limits])
            if remember is not None and until is not None:
                at = _milliseconds(until - EPOCH)
                lasts = max(at - _milliseconds(self._clock.now() - EPOCH), AT_LEAST)
                await self._redis.set(_key(remember), at, px=lasts)
            return True

        if await self._ask(work) is None:
            await self._behind.take_back(limits, remember=remember, until=until)

    async def keep(self, purpose: str, key: str, value: str, until: datetime) -> None:
        """See `ports.Scratch.keep`."""
        await self._behind.keep(purpose, key, value, until)

    async def peek(self, purpose: str, key: str, now: datetime) -> str | None:
        """See `ports.Scratch.peek`."""
        return await self._behind.peek(purpose, key, now)

    async def consume(self, purpose: str, key: str, now: datetime, *, value: str | None = None) -> str | None:
        """See `ports.Scratch.consume`."""
        return await self._behind.consume(purpose, key, now, value=value)

    async def prune(self, now: datetime, limit: int) -> int:
        """See `ports.Scratch.prune`. The server forgets by itself."""
        return await self._behind.prune(now, limit)

    async def close(self) -> None:
        """Give the connections back."""
        await self._call(self._redis.aclose)

    async def _ask(self, work: Callable[[], Awaitable[R]]) -> R | None:
        """The answer; None while the server is away, which is told once."""
        if self._clock.monotonic() < self._rests_until:
            return None

        async def bounded() -> R:
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                return await work()

        try:
            answer: R = await self._call(bounded)
        except (RedisError, OSError, TimeoutError) as error:
            self._rests_until = self._clock.monotonic() + REST_SECONDS
            if not self._away:
                logger.warning("Valkey is away (%s); attempts are counted in the database", type(error).__name__)
            self._away = True
            return None
        if self._away:
            logger.warning("Valkey is back")
        self._away = False
        return answer


def _key(name: str) -> str:
    return PREFIX + name


def _interval(limit: Limit) -> int:
    return _milliseconds(limit.period) // limit.hits


def _milliseconds(length: timedelta) -> int:
    return length // MILLISECOND
