"""Concurrent questions to one peer leave together: one call costs both ends several times what an item in it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from gateway.errors import Reason, TiergateError
from gateway.groups import Groups, release

QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")


class Gather(Generic[QuestionT, AnswerT]):
    """Asks ``ask_many`` in groups that form by themselves (see ``gateway.groups``).

    While ``lanes`` groups are on their way a question waits for the next to come back, but ``patience_s`` seconds at
    most, so that a peer slow with one question holds up no others than those that left with it.

    ``ask_many`` answers in order, an error in the place of an answer failing that question alone; what it raises
    fails its whole group. A cancelled caller's question is asked all the same.
    """

    def __init__(
        self,
        ask_many: Callable[[Sequence[QuestionT]], Awaitable[Sequence[AnswerT | TiergateError]]],
        *,
        max_group: int,
        lanes: int = 1,
        patience_s: float = 0.004,
    ) -> None:
        self._ask_many = ask_many
        self._groups: Groups[tuple[QuestionT, asyncio.Future[AnswerT]]] = Groups(
            self._leave, max_group=max_group, lanes=lanes, patience_s=patience_s
        )
        self._on_their_way: set[asyncio.Task[None]] = set()

    async def ask(self, question: QuestionT) -> AnswerT:
        """The answer to one question. Raises its error, or what its group's call raised."""
        future: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self._groups.add((question, future))
        return await future

    def _leave(self, group: list[tuple[QuestionT, asyncio.Future[AnswerT]]]) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(group))
        self._on_their_way.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._on_their_way.discard)

    async def _carry(self, group: Sequence[tuple[QuestionT, asyncio.Future[AnswerT]]]) -> None:
        """Ask, and release each caller with its own answer."""
        answers: Sequence[AnswerT | TiergateError]
        try:
            answers = await self._ask_many([question for question, _ in group])
            if len(answers) != len(group):
                raise TiergateError(Reason.INTERNAL, "another number of answers than questions")
        except TiergateError as error:
            answers = [TiergateError(error.reason, error.detail, retry_after_s=error.retry_after_s) for _ in group]
        except Exception as error:  # noqa: BLE001  # whatever happens, nobody waits for ever
            answers = [_internal(error) for _ in group]
        self._groups.back(len(group))
        release(group, answers)


def _internal(cause: Exception) -> TiergateError:
    error = TiergateError(Reason.INTERNAL, f"asking: {type(cause).__name__}")
    error.__cause__ = cause
    return error
