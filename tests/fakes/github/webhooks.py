"""Delivers events to the hooks of Apps and repositories: signed, in order for each hook, logged, never repeated by itself."""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

import aiohttp
from tests.fakes.github.faults import WebhookFaultKind, WebhookFaults
from tests.fakes.github.state import App, Delivery, Hook, Installation, Repo
from tests.fakes.github.world import World

TIMEOUT_SECONDS = 10
KEPT_SECONDS = 3 * 24 * 3600
_UNSUBSCRIBED = frozenset({"installation", "installation_repositories", "ping"})


def signature(secret: str, body: bytes) -> str:
    """`X-Hub-Signature-256` of a body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Webhooks:
    """The sender; `sent` keeps every event's name and body where `keep` is set."""

    def __init__(self, world: World, *, keep: bool) -> None:
        self.faults = WebhookFaults()
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.held = False
        self._world = world
        self._keep = keep
        self._session: aiohttp.ClientSession | None = None
        self._queues: dict[int, asyncio.Queue[Delivery]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._late: set[asyncio.Task[None]] = set()
        self._swapped: dict[int, Delivery] = {}
        self._waiting: list[tuple[Hook, Delivery]] = []
        self._hooks: dict[int, Hook] = {}

    async def start(self) -> None:
        """Listens to the world from now on."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        self._world.send = self

    async def stop(self) -> None:
        """Ends the deliveries that are under way."""
        tasks = [*self._workers, *self._late]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def __call__(self, event: str, body: dict[str, Any], *, repo: Repo | None = None, app: App | None = None) -> None:
        """Sends an event to every hook that asked for it."""
        if self._keep:
            self.sent.append((event, body))
        for one in self._world.installations if repo is not None else []:
            if repo is not None and one.reaches(repo) and one.suspended_at is None:
                told = {**body, "installation": {"id": one.id, "node_id": f"INS_{one.id}"}}
                self._offer(one.app.hook, event, told, repo, one, one.app)
        for hook in repo.hooks if repo is not None else []:
            self._offer(hook, event, body, repo, None, None)
        if app is not None:
            self._offer(app.hook, event, body, None, None, app)

    def _offer(
        self, hook: Hook, event: str, body: dict[str, Any], repo: Repo | None, one: Installation | None, app: App | None
    ) -> None:
        events = app.events if app is not None else hook.events
        if not hook.url or not (event in _UNSUBSCRIBED or "*" in events or event in events):
            return
        raw = json.dumps(body, separators=(",", ":")).encode()
        installation_id = one.id if one is not None else body.get("installation", {}).get("id")
        delivery = Delivery(
            id=self._world.new_id(),
            guid=str(uuid.uuid4()),
            event=event,
            action=body.get("action"),
            body=raw,
            headers={},
            delivered_at=self._world.clock(),
            installation_id=installation_id,
            repository_id=repo.id if repo is not None else None,
        )
        delivery.headers = self._headers(hook, delivery)
        self._dispatch(hook, delivery)

    @staticmethod
    def _headers(hook: Hook, delivery: Delivery) -> dict[str, str]:
        headers = {
            "User-Agent": "GitHub-Hookshot/fake",
            "Content-Type": "application/json",
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Hook-ID": str(hook.id),
            "X-GitHub-Hook-Installation-Target-ID": str(hook.target_id),
            "X-GitHub-Hook-Installation-Target-Type": hook.target,
        }
        return {**headers, "X-Hub-Signature-256": signature(hook.secret, delivery.body)} if hook.secret else headers

    def _dispatch(self, hook: Hook, delivery: Delivery) -> None:
        fault = self.faults.take(delivery.event)
        kind = None if fault is None else fault.kind
        if kind is not WebhookFaultKind.VANISH:
            hook.deliveries.append(delivery)
        match kind:
            case WebhookFaultKind.VANISH:
                return
            case WebhookFaultKind.DROP:
                delivery.status, delivery.status_code = "failed to connect to host", 502
            case WebhookFaultKind.DOUBLE:
                self._put(hook, delivery)
                self._put(hook, delivery)
            case WebhookFaultKind.DELAY:
                assert fault is not None
                task = asyncio.get_running_loop().create_task(self._deliver_late(hook, delivery, fault.seconds))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
            case WebhookFaultKind.REORDER:
                self._swapped[hook.id], swapped = delivery, self._swapped.pop(hook.id, None)
                if swapped is not None:
                    self._put(hook, swapped)
                self._hooks[hook.id] = hook
            case _:
                self._put(hook, delivery)
                if (swapped := self._swapped.pop(hook.id, None)) is not None:
                    self._put(hook, swapped)

    def _put(self, hook: Hook, delivery: Delivery) -> None:
        if self.held:
            self._waiting.append((hook, delivery))
            return
        if hook.id not in self._queues:
            queue = self._queues[hook.id] = asyncio.Queue()
            self._workers.append(asyncio.get_running_loop().create_task(self._work(hook, queue)))
        self._queues[hook.id].put_nowait(delivery)

    def release(self, order: Sequence[int] | None = None) -> None:
        """Lets held deliveries go, in the order of these positions, or as they came."""
        self.held = False
        waiting, self._waiting = self._waiting, []
        for position in order if order is not None else range(len(waiting)):
            self._put(*waiting[position])

    @property
    def waiting(self) -> list[Delivery]:
        """The deliveries that are held."""
        return [delivery for _, delivery in self._waiting]

    async def settle(self) -> None:
        """Waits until everything has been tried that is not held; a delivery waiting for its successor goes first."""
        for number in list(self._swapped):
            self._put(self._hooks[number], self._swapped.pop(number))
        while self._late:
            await asyncio.wait(self._late)
        for queue in list(self._queues.values()):
            await queue.join()

    async def _deliver_late(self, hook: Hook, delivery: Delivery, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._put(hook, delivery)

    async def _work(self, hook: Hook, queue: asyncio.Queue[Delivery]) -> None:
        while True:
            delivery = await queue.get()
            try:
                await self._attempt(hook, delivery)
            finally:
                queue.task_done()

    async def _attempt(self, hook: Hook, delivery: Delivery) -> None:
        assert self._session is not None
        started = time.monotonic()
        try:
            async with self._session.post(hook.url, data=delivery.body, headers=delivery.headers) as answer:
                text = (await answer.read()).decode("utf-8", "replace")
                delivery.status_code = answer.status
                delivery.status = "OK" if answer.ok else f"Invalid HTTP Response: {answer.status}"
                delivery.response_headers, delivery.response_body = dict(answer.headers), text
        except TimeoutError:
            delivery.status, delivery.status_code = "timed out", 504
        except aiohttp.ClientError:
            delivery.status, delivery.status_code = "failed to connect to host", 502
        delivery.duration = round(time.monotonic() - started, 2)

    def kept(self, hook: Hook) -> list[Delivery]:
        """The log of a hook, newest first, as far back as it is kept."""
        oldest = self._world.clock() - KEPT_SECONDS
        return [delivery for delivery in reversed(hook.deliveries) if delivery.delivered_at >= oldest]

    def redeliver(self, hook: Hook, delivery: Delivery) -> Delivery:
        """A new attempt with the same guid."""
        again = Delivery(
            id=self._world.new_id(),
            guid=delivery.guid,
            event=delivery.event,
            action=delivery.action,
            body=delivery.body,
            headers={},
            delivered_at=self._world.clock(),
            redelivery=True,
            installation_id=delivery.installation_id,
            repository_id=delivery.repository_id,
        )
        again.headers = self._headers(hook, again)
        self._dispatch(hook, again)
        return again
