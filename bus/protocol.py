"""The wire of the bus, version 1: its messages and its limits (pure). This docstring is its specification.

From here to the end of the docstring, "must" binds every peer. Nothing else is needed to write one, in any language that
has libzmq (4.2 or later, built with CURVE) and JSON. ``bus.frames`` writes and reads the frames of the messages that are
defined below. Must not know sockets, storage, clocks.

1 Connecting
------------
The *connection file* (``run/bus.json`` in the state folder, mode 0600) is a JSON object::

    {"protocol": 1, "ingress": "tcp://127.0.0.1:40001", "feed": "tcp://127.0.0.1:40002",
     "server_key": "…", "public_key": "…", "secret_key": "…"}          keys: 40 characters of Z85

Endpoints and keys survive a restart of the broker. A peer opens one or both of

* a DEALER connected to ``ingress`` (to ask, publish, answer), and
* a SUB connected to ``feed`` (to be told),

each with ``CURVE_SERVERKEY = server_key``, ``CURVE_PUBLICKEY = public_key``, ``CURVE_SECRETKEY = secret_key`` and without
``ROUTING_ID`` (a peer that chooses one is never answered). The broker lets in keys that it was told (ZAP): the pair of the
file is named ``client``, each actor has a pair of its own, named as the actor. Any other key, mechanism or ZMTP version is
turned away in the handshake and no byte of it is read. There is no other authentication: keep the file private.

Advice: set ``LINGER`` finite, ``IMMEDIATE = 1`` and ``RCVHWM`` of the SUB to at least 2048. ``MAXMSGSIZE`` 8 MiB will do.

2 Frames
--------
All JSON is UTF-8 (RFC 8259), one document a frame; receivers ignore members that they do not know. A *position* is an
integer from 1, dense in the order in which events were recorded. An *epoch* is a text that names one journal: positions
of two epochs have nothing to do with each other. Times are RFC 3339 in UTC.

DEALER, both ways: ``[verb, request id, body frame…]``. Verbs are upper-case ASCII. A request id is 1 to 32 bytes of
the asker's choosing, unique among its unanswered requests; every answer repeats it. Answers come in any order.

SUB: ``[topic, stamp, envelope]``, and for who follows everything batches of them.

* *topic* = the envelope's ``subject`` with ``/`` replaced by ``.``, a dot, its ``type``, a dot:
  ``session.codex-01a1fb07.request.completed.``; it is ASCII; dots inside names are written ``%2E``. Subscribe to any
  prefix: ``b"session."`` is all facts about sessions, ``b"session.codex-01a1fb07."`` those of one; everything is one prefix a
  root (``schemas.envelope.ROOTS``). ``b""`` is of no use: it brings every event twice (batches), and all streams.
* *stamp* = ``{"epoch": text, "position": int, "recordedtime": time}``.
* *envelope* = the publisher's bytes, unchanged: a CloudEvents 1.0 object with ``specversion`` ("1.0"), ``id``, ``source``,
  ``type``, ``subject``, ``time``, ``data``, and optionally ``correlationid``, ``causationid``.

The three frames of an event are the same bytes live and replayed.

*Batch*: topic ``batch.``, a stamp, 1 to 64 envelope frames: the events of consecutive positions from the stamp's on, recorded
at its time. The same events as on the other topics, in fewer frames. Everything is ``batch.`` and ``bus.beat.``, or the roots,
never both. (``batch`` is no root, so no event has such a topic.)

*Beat*: topic ``bus.beat.``, a stamp whose ``position`` is the head (the last position given out on the feed, 0 when there is
none), and an empty envelope frame. At least every 500 ms. Three seconds without any frame: the broker is lost.

*Stream*: what is said for whoever listens now, and never recorded. Topic ``stream.<stream>.<kind>.`` (``stream`` is no root, so
no event has such a topic), a stamp ``{"epoch": text, "position": 0, "recordedtime": time, "head": int, "sequence": int}``, and
the teller's bytes, unchanged, as the third frame. It has no place in the journal, which ``position`` 0 says; ``head`` is as in
a beat: what is recorded through it was on the feed before. ``sequence`` is the teller's own number, see section 6.

3 Verbs
-------
``HELLO`` ``{"protocol": 1, "role": text, "serves": [command type, …]}`` → ``WELCOME``
``{"protocol": 1, "epoch": text, "first": int, "head": int, "name": text, "feed": endpoint}``.
``first`` is the lowest position kept (``head + 1`` when nothing is), ``name`` the name of the peer's key. ``role`` is free
text for logs. A peer that answers commands lists them in ``serves``; the last connection of a name that did so gets its
requests (``client`` may not serve). Say HELLO again after every reconnection: a restarted broker has forgotten it.

``PUBLISH`` 1…1024 envelope frames → ``RECORDED`` ``{"epoch": text, "positions": [int or null, …], "refused":
[{"index": int, "code": text, "message": text}, …]}``. Sent when the events are on disk. ``positions`` has one member an
envelope, in order; null means refused, and ``refused`` says why (``invalid``, ``too_large``, ``forged_source``); the others
are recorded all the same. An event whose ``id`` is already in the journal is not recorded again and has its old
position, so an unanswered PUBLISH may be repeated as it is, by any connection. Events of one connection keep their order.
An envelope's ``source`` must be ``/actor/<name>/…`` of the key's name, or ``/client/…`` for ``client``.

``READ`` ``{"after": int, "limit": int, "prefixes": [text, …], "types": [text, …]}`` → ``PAGE`` ``{"epoch": text, "first":
int, "head": int, "through": int, "more": bool, "damaged": [[int, int], …]}`` followed by three frames (topic, stamp,
envelope) an event. The page holds every event with ``after < position <= through`` whose topic starts with one of
``prefixes`` (default ``[""]``) and ends with one of ``types`` (default ``[]``: any), in order, except those in
``damaged`` (inclusive ranges, unreadable and set aside) and those below ``first`` (removed by retention). ``limit``
(default 1000) bounds the events; a page is also bounded in bytes and in events looked at, so it may be short or empty while
``more`` is true: read on with ``after = through``. ``more`` is ``through < head``.

``REQUEST`` ``{"to": name, "type": text, "deadline_ms": int}``, command (JSON) → ``REPLY`` ``{"ok": true}``, answer (JSON), or
``REPLY`` ``{"ok": false, "code": text, "message": text}``. Codes of the broker: ``no_such_actor``, ``unknown_command``,
``busy``, ``timeout``; all others are the actor's. A command is never recorded, never repeated by the broker, and its
outcome is unknown after ``timeout``. To the serving actor the broker sends ``REQUEST`` ``{"from": name, "type": text,
"deadline_ms": int}``, command, under a request id of its own, which the actor's REPLY repeats.

``TELL`` ``{"stream": text, "kind": text, "sequence": int}``, body (any bytes) → nothing. The body goes out on the feed as a
frame of that stream and is forgotten; with no subscriber it is gone. Only the key named ``bridges`` may TELL. What the broker
cannot take is dropped and counted, without a word: see section 6. The request id appears in an ERROR only and need not be
unique. A TELL and a PUBLISH of one connection keep no order between them.

``ERROR`` ``{"code": text, "message": text}`` is the answer to anything that was not done: ``invalid`` (the message names the
field), ``unknown_verb``, ``unsupported_protocol``, ``too_large``, ``forbidden``, ``ahead`` (READ after a position that does
not exist yet), ``busy`` (try again later), ``storage_full`` (nothing was recorded; try again later). A frame without a
readable request id is dropped and counted.

4 Limits
--------
Envelope and command 64 KiB; PUBLISH 1024 envelopes and 4 MiB; READ 1000 events, PAGE about 4 MiB; REPLY 4 MiB; 32 prefixes
of 256 characters, 32 types of 64; event id 128 characters, ``source`` 200, ``time`` 40, topic 1024; deadline 1 ms to 60 s;
64 unanswered requests an actor, 1024 a broker. ``subject`` is ``root/name[/name…]`` with a known root
(``schemas.envelope.ROOTS``) and names of ``A-Z a-z 0-9 - _ ~ %``; ``type`` is two or more words of ``a-z 0-9 _`` joined by
dots. The body of a TELL 64 KiB, its ``stream`` 1 to 128 characters as in a name, ``kind`` 1 to 64 as in a word,
``sequence`` 1 to 2^53; 4096 bodies and 8 MiB of them wait for the feed. What exceeds a limit is refused by name, never cut.
A frame above 8 MiB closes the connection.

5 Following the journal without loss
------------------------------------
PUB drops what a slow or late subscriber does not take, silently. Positions and beats make every loss visible, READ heals it.

*Whole feed.* Let ``after`` be the last position handled (0 for everything; the WELCOME's head for "from now on").

1. Connect the SUB, subscribe to ``batch.`` and ``bus.beat.`` (or to every root), wait for the first frame (a beat comes within
   500 ms), and only then go on.
2. READ from ``after`` until ``more`` is false, handling each event; set ``after = through`` of each page.
3. For every live event at position p, those of a batch one by one: p <= after: drop it. p == after + 1: handle it,
   ``after = p``. p > after + 1: something was lost: do step 2 (the page will hold p too).
4. For every beat with head h: h > after: something was lost: do step 2.

*Filtered.* Positions that do not match are not seen, so a hole cannot be told from a loss. Subscribe to the prefixes and
to ``bus.beat.``; take any live frame or beat with position > ``after`` only as a reason for step 2 with the same prefixes.
Events come from pages alone: exact, in order, at the price of one READ. Who wants few types of many subjects subscribes to
``bus.beat.`` alone and reads with ``types``: it is told of them a beat later, and costs nobody anything for all others.

*In both:* a stamp, WELCOME or PAGE with another epoch: the journal is a new one; what was known is void, ``after = 0``, step 2.
``first > after + 1`` in a PAGE: positions ``after + 1`` to ``first - 1`` are gone for ever; ``damaged`` likewise. A consumer
that folds events must be told (here: ``bus.cursor.Gap``). No frame for three seconds: give up, or reconnect and go to 1.
Frames of streams (a topic that begins with ``stream.``) are never events, never a reason for anything in this section.

6 Following a stream
--------------------
Nothing heals a stream but whoever tells it: the teller numbers what it says in each stream from 1, without holes, and keeps
what a listener needs to begin or to go on (here: ``bridges.show_pending``). Frames of a stream arrive in order, each once or
not at all: the teller's own queue, the broker's and the subscriber's are bounded, and what finds one full is dropped.

1. Connect the SUB, subscribe to ``stream.<stream>.`` and ``bus.beat.``, wait for the first frame, and only then ask the teller
   for the state; it names the ``sequence`` that it includes.
2. Drop frames up to that number, take those behind it as they come. A number that is not the next one: something was lost,
   or the teller began anew: ask for the state again.
3. The loss of the last frame shows in no number after it. So the teller repeats the last number of a stream in frames of the
   kind ``mark`` with an empty body, 0.5 s after it was told, then at growing intervals, at least every 60 s. A mark that is
   not the number reached: ask for the state again. A mark has no number of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta, Struct

from bus.errors import Refusal
from schemas.codec import decode_envelope, decode_recorded
from schemas.envelope import Recorded, Stamp

PROTOCOL = 1
MAX_EVENT = 65_536
MAX_COMMAND = 65_536
MAX_ANSWER = 4_194_304
MAX_PUBLISH_EVENTS = 1024
MAX_PUBLISH_BYTES = 4_194_304
MAX_PAGE_EVENTS = 1000
MAX_PAGE_BYTES = 4_194_304
MAX_REQUEST_ID = 32
MAX_FRAME = 8_388_608
MAX_FEED_FRAME = 131_072
MAX_TELL = 65_536
MAX_SEQUENCE = 2**53
MAX_BATCH_EVENTS = 64
MAX_BATCH_BYTES = 65_536
BATCH_TOPIC = b"batch."
BEAT_TOPIC = b"bus.beat."
STREAM_TOPIC = b"stream."
MARK = "mark"
BEAT_SECONDS = 0.25
LOST_SECONDS = 3.0
CLIENT = "client"
TELLER = "bridges"

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Prefix = Annotated[str, Meta(max_length=256)]
Position = Annotated[int, Meta(ge=0)]
StreamName = Annotated[str, Meta(pattern="^[A-Za-z0-9_~%-]{1,128}\\Z")]
Kind = Annotated[str, Meta(pattern="^[a-z0-9_]{1,64}\\Z")]


class Hello(Struct, frozen=True, kw_only=True):
    """A peer says who it is and what it answers."""

    protocol: int
    role: Annotated[str, Meta(max_length=64)] = ""
    serves: Annotated[tuple[Name, ...], Meta(max_length=256)] = ()


class Welcome(Struct, frozen=True, kw_only=True):
    """The broker says where the journal stands and under which name it knows the peer."""

    protocol: int
    epoch: str
    first: int
    head: int
    name: str
    feed: str


class Publish(Struct, frozen=True):
    """Events to record."""

    envelopes: tuple[bytes, ...]


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of a PUBLISH (verb RECORDED)."""

    epoch: str
    positions: tuple[int | None, ...]
    refused: tuple[Refusal, ...] = ()


class Read(Struct, frozen=True, kw_only=True):
    """A wish for a page of the journal."""

    after: Position
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_EVENTS)] = MAX_PAGE_EVENTS
    prefixes: Annotated[tuple[Prefix, ...], Meta(min_length=1, max_length=32)] = ("",)
    types: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()


class Request(Struct, frozen=True, kw_only=True):
    """A command for an actor, as its sender says it."""

    to: Name
    type: Name
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)]
    command: bytes = b"{}"


class Tell(Struct, frozen=True, kw_only=True, gc=False):
    """Something to put on the feed and forget."""

    stream: StreamName
    kind: Kind
    sequence: Annotated[int, Meta(ge=1, le=MAX_SEQUENCE)]
    body: bytes = b""


class Forwarded(Struct, frozen=True, kw_only=True):
    """A command for an actor, as the broker hands it on (verb REQUEST)."""

    sender: str
    type: str
    deadline_ms: int
    command: bytes = b"{}"


class Reply(Struct, frozen=True, kw_only=True):
    """An actor's answer, or its or the broker's refusal."""

    ok: bool
    answer: bytes = b""
    code: str = ""
    message: str = ""


class Failure(Struct, frozen=True):
    """Why something was not done (verb ERROR)."""

    code: str
    message: str


class Row(Struct, frozen=True, gc=False):
    """One event as the journal holds it and as a page carries it: its position and its three frames."""

    position: int
    topic: bytes
    stamp: bytes
    envelope: bytes

    def recorded(self) -> Recorded:
        """Read the event.

        Raises:
            InvalidMessageError: its data breaks its type.

        """
        return decode_recorded(self.stamp, self.envelope)


class Arrival(Struct, frozen=True, gc=False):
    """One event as it came on the feed: its stamp, and its envelope, which nobody has looked into yet."""

    stamp: Stamp
    envelope: bytes

    @property
    def position(self) -> int:
        """Return its place in the journal."""
        return self.stamp.position

    def recorded(self) -> Recorded:
        """Read the event.

        Raises:
            InvalidMessageError: its data breaks its type.

        """
        return Recorded(self.stamp, decode_envelope(self.envelope))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of the journal: every event after the position asked for, through ``through``, that matches the prefixes.

    ``first`` and ``head`` are the first and last positions kept; ``more`` says that ``through`` is not yet the head;
    ``damaged`` are ranges of positions inside the stretch that cannot be read.
    """

    epoch: str
    first: int
    head: int
    through: int
    more: bool
    damaged: tuple[tuple[int, int], ...] = ()
    rows: tuple[Row, ...] = field(default=(), repr=False)

    def events(self) -> Iterator[Recorded]:
        """Read the events, in order.

        Raises:
            InvalidMessageError: an event's data breaks its type; ``rows`` holds it as it is.

        """
        return (row.recorded() for row in self.rows)


@dataclass(frozen=True, slots=True)
class Beat:
    """The broker lives, and this is its journal's head."""

    epoch: str
    head: int


class StreamFrame(Struct, frozen=True, gc=False):
    """A frame of a stream: which number of it, of what kind, and the teller's bytes."""

    kind: str
    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A stream stands at this number: whoever has reached another one has lost something."""

    sequence: int


Asked = Hello | Publish | Read | Request | Reply | Tell
Answered = Welcome | Receipt | Page | Forwarded | Reply | Failure
