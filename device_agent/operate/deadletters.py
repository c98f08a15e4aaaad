"""Dead-letter queue: look at it, copy it to a file, send it back to the queue that it came from.

Promises
1. Looking changes nothing: each letter is received at most once a look, held back for as long as the look takes, then given back at once.
   The receive count that this costs buries nothing: a dead-letter queue has no dead-letter queue, and what is sent back counts from 0.
2. A redrive loses nothing: a letter is deleted only after the source queue has taken it.
3. A redrive doubles nothing that counts: after a crash between the two a letter is there twice, and landing knows the second one by its
   envelope's id and digest (`lambdas/landing`); a notice likewise. Within 5 minutes SQS itself swallows it on FIFO, by promise 4.
   So too when SQS takes a letter and does not let it be deleted, as on FIFO once `HOLD` has run out.
4. On FIFO the message group and the order within it are kept; a group stops at its first failure. The deduplication id is new, made of
   the letter's message id: the envelope's id might be swallowed as a repetition of the message that failed, while one id for each letter
   lets a conflict's two contents pass. A letter that is buried again is another message, so it can be sent back again.
5. Late letters never overwrite newer state: the state table's writes are conditional on (ordinal of the epoch, sequence number).

Limits of SQS: while letters of a message group are held, the rest of the group is hidden; so a look into a FIFO queue sees the first 10 of
each group. What was not seen is counted and said (`Look.unseen`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from device_agent.errors import DeviceAgentError
from device_agent.operate.letters import NOTES, Choice, Letter

#: Letters a request (SQS quotas).
BATCH = 10
#: Seconds for which letters are held, at most: a command that is killed gives them back by then. A redrive that leaves letters behind ends
#: when they come round again, says how many are left, and may be run again.
HOLD = 300
#: What a service without move tasks answers (MiniStack), and moto.
_NO_MOVE_TASKS = frozenset({"InvalidAction", "UnknownOperation", "UnknownOperationException", "UnsupportedOperation", "NotImplemented"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen, on FIFO in order within each group, and how many letters were there (SQS counts approximately) but not seen."""

    letters: list[Letter]
    unseen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """How many letters went back, how many could not (they are still here), and why not."""

    moved: int
    failed: int = 0
    reasons: tuple[str, ...] = ()


class DeadLetterQueue:
    """One dead-letter queue. Needs `sqs:ReceiveMessage`, `ChangeMessageVisibility`, `GetQueueAttributes`."""

    def __init__(self, sqs: Any, url: str, *, wait: int = 1) -> None:
        """Take a boto3 client, the queue's URL, and how many seconds a receive waits: with 0 SQS asks only some of its servers."""
        self._sqs = sqs
        self._url = url
        self._wait = wait

    @property
    def fifo(self) -> bool:
        """Whether order and message groups matter."""
        return self._url.endswith(".fifo")

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return self._url.rpartition("/")[2]

    def count(self) -> int:
        """About how many letters there are, held ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    # Looking

    def look(self, *, limit: int = 1_000) -> Look:
        """Return up to `limit` letters, and give them back."""
        there = self.count()
        seen: dict[str, Letter] = {}
        try:
            while len(seen) < limit:
                new = [letter for letter in self._receive(min(BATCH, limit - len(seen))) if letter.id not in seen]
                if not new:
                    break
                seen |= {letter.id: letter for letter in new}
        finally:
            self._give_back(list(seen.values()))
        letters = list(seen.values())
        return Look(letters=letters, unseen=max(0, there - len(letters)))

    def _receive(self, count: int) -> list[Letter]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=count,
            VisibilityTimeout=HOLD,
            WaitTimeSeconds=self._wait,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        letters = list(map(Letter.read, answer.get("Messages", [])))
        # FIFO: as SQS gives them, which within a group is their order; by send time two of one millisecond would change places.
        return letters if self.fifo else sorted(letters, key=lambda letter: letter.sent)

    def _give_back(self, letters: list[Letter]) -> None:
        """Make letters visible again. What fails comes back by itself after `HOLD`."""
        for at in range(0, len(letters), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                for number, letter in enumerate(letters[at : at + BATCH])
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    # Taking out

    def drain(self, keep: Callable[[list[Letter]], None]) -> int:
        """Hand over batch after batch, each deleted after `keep` has returned; return how many letters. Sees all of a group."""
        count = 0
        while batch := self._receive(BATCH):
            try:
                keep(batch)
            except BaseException:
                self._give_back(batch)
                raise
            for letter in batch:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)
                count += 1
        return count

    # Sending back

    def source(self) -> str:
        """URL of the queue whose dead letters these are. Needs `sqs:ListDeadLetterSourceQueues`."""
        urls = self._sqs.list_dead_letter_source_queues(QueueUrl=self._url).get("queueUrls", [])
        if len(urls) != 1:
            raise DeviceAgentError(f"{self.name} is the dead-letter queue of {len(urls)} queues, not of one: say where to with --to URL")
        return str(urls[0])

    def move(self, target: str, *, wait: Callable[[], object], progress: Callable[[int], None]) -> Redriven | None:
        """Have SQS move everything to `target` (StartMessageMoveTask); None where there are no move tasks.

        The target is always named: a function's own `SendMessage` leaves no source that SQS could find. `wait` is called between looks
        at the task. Needs `sqs:StartMessageMoveTask`, `ListMessageMoveTasks`, `ReceiveMessage`, `DeleteMessage` here, `SendMessage` there.
        """
        if not hasattr(self._sqs, "start_message_move_task"):  # boto3 before June 2023
            return None
        try:
            arn = self._arn(self._url)
            self._sqs.start_message_move_task(SourceArn=arn, DestinationArn=self._arn(target))
        except NotImplementedError:  # moto
            return None
        except ClientError as error:
            if error.response["Error"]["Code"].rpartition(".")[2] in _NO_MOVE_TASKS:
                return None
            raise
        while True:
            [task] = self._sqs.list_message_move_tasks(SourceArn=arn, MaxResults=1)["Results"]
            moved, total = (int(task.get(f"ApproximateNumberOfMessages{what}", 0)) for what in ("Moved", "ToMove"))
            progress(moved)
            if task["Status"] == "COMPLETED":
                return Redriven(moved=moved)
            if task["Status"] not in {"RUNNING", "CANCELLING"}:
                reason = f"the move task is {task['Status']}: {task.get('FailureReason', 'no reason given')}"
                return Redriven(moved=moved, failed=max(1, total - moved), reasons=(reason,))
            wait()

    def send_back(self, target: str, *, choice: Choice = Choice(), progress: Callable[[int], None] = lambda _: None) -> Redriven:  # noqa: B008  # frozen
        """Receive, send to `target`, delete: one letter after the other, those of `choice`.

        On FIFO what is not chosen, or failed, keeps the rest of its group hidden, so order within a group holds in every case. Needs
        `sqs:DeleteMessage` here and `SendMessage` there.
        """
        held: dict[str, Letter] = {}
        moved, reasons = 0, dict[str, str]()
        try:
            while batch := [letter for letter in self._receive(BATCH) if letter.id not in held]:
                held |= {letter.id: letter for letter in batch}
                for letter in batch:
                    # A failure stops its group on FIFO; on a standard queue letters know nothing of each other.
                    unit = letter.group if self.fifo else letter.id
                    if letter not in choice or unit in reasons:
                        continue
                    try:
                        self._send(letter, target)
                        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)
                    except ClientError as error:
                        reasons[unit] = str(error)
                        continue
                    del held[letter.id]
                    moved += 1
                    progress(moved)
                if len(reasons) >= BATCH:
                    break  # it is not the letters
        finally:
            self._give_back(list(held.values()))
        failed = sum(letter in choice for letter in held.values())
        return Redriven(moved=moved, failed=failed, reasons=tuple(sorted(set(reasons.values()))))

    def _send(self, letter: Letter, target: str) -> None:
        order: dict[str, str] = {}
        if self.fifo:
            order = {"MessageGroupId": letter.group, "MessageDeduplicationId": f"redrive-{letter.id}"}
        self._sqs.send_message(
            QueueUrl=target,
            MessageBody=letter.body,
            MessageAttributes={name: _writable(value) for name, value in letter.attributes.items() if name not in NOTES},
            **order,
        )

    def _arn(self, url: str) -> str:
        return str(self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def _writable(value: Any) -> dict[str, Any]:
    """Return a message attribute as SendMessage takes it: type and value, without the lists that ReceiveMessage adds."""
    return {key: value[key] for key in ("DataType", "StringValue", "BinaryValue") if key in value}
