"""trace_perfetto.py - reads Perfetto traces as weft writes them: TrackEvents on named tracks.

Checks what a viewer needs: each track is described before its events; on a track slices do not
overlap and times do not decrease; an arrow has one beginning, and it begins before it ends.
"""
from trace_read import Broken, Event, bytes_at, varint

TYPES = {1: "SliceBegin", 2: "SliceEnd", 3: "Instant", 4: "Counter"}
TASK_TRACK = 5 << 56  # as profiles/trace/perfetto.c numbers the tracks
STATES = {"running": "running", "runnable": "runnable", "without processor": "syscall",
          "blocking call": "syscall"}


def fields(data, at, end):
    """Yields (offset, field, value): a number, or the bounds of the bytes."""
    while at < end:
        start = at
        key, at = varint(data, at, end)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at, end)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = bytes_at(data, at, end, size)
            value = int.from_bytes(value, "little")
        elif kind == 2:
            size, at = varint(data, at, end)
            bytes_at(data, at, end, size)
            value, at = (at, at + size), at + size
        else:
            raise Broken(start, f"wire type {kind}")
        yield start, key >> 3, value


class Reader:
    def __init__(self, data):
        self.data = data
        self.tracks = {}   # uuid: (name, parent, whether it is a counter)
        self.open = {}     # uuid: name of the open slice
        self.last = {}     # uuid: time of the latest event
        self.flows = set()
        self.strings = {2: {}, 3: {}, 29: {}}  # of event names, names of annotations, values

    def text(self, at, bounds):
        try:
            return self.data[bounds[0]:bounds[1]].decode()
        except UnicodeDecodeError as error:
            raise Broken(at, "a string is not UTF-8") from error

    def packets(self):
        for at, field, value in fields(self.data, 0, len(self.data)):
            if field != 1 or isinstance(value, int):
                raise Broken(at, "no packet of a Perfetto trace")
            packet = {}
            for _, inner, inner_value in fields(self.data, *value):
                packet[inner] = inner_value
            yield at, packet

    def describe(self, at, bounds):
        uuid, name, parent, counter = None, "", 0, False
        for _, field, value in fields(self.data, *bounds):
            if field == 1:
                uuid = value
            elif field == 2:
                name = self.text(at, value)
            elif field == 5:
                parent = value
            elif field == 8:
                counter = True
        if uuid is None or (parent and parent not in self.tracks):
            raise Broken(at, f"track {uuid} below {parent}, which is not described")
        self.tracks[uuid] = (name, parent, counter)
        return Event(at, 0, "Track", None, None, uuid & ~TASK_TRACK if is_task(uuid) else None,
                     {"name": name, "uuid": uuid})

    def intern(self, at, bounds):
        for _, field, value in fields(self.data, *bounds):
            entry = dict((inner, v) for _, inner, v in fields(self.data, *value))
            if field in self.strings:
                self.strings[field][entry[1]] = self.text(at, entry[2])

    def interned(self, at, kind, number):
        if number not in self.strings[kind]:
            raise Broken(at, f"string {number} of kind {kind} is not interned")
        return self.strings[kind][number]

    def annotations(self, at, bounds, to):
        name, value = None, None
        for _, field, inner in fields(self.data, *bounds):
            if field == 1:
                name = self.interned(at, 3, inner)
            elif field == 17:
                value = self.interned(at, 29, inner)
            elif field == 10:
                name = self.text(at, inner)
            elif field in (3, 7):
                value = inner
            elif field == 6:
                value = self.text(at, inner)
            elif field == 12:
                frame = {}
                self.annotations(at, inner, frame)
                value = (value or ()) + (frame.get(None),)
        to[name] = value if not isinstance(value, tuple) else " < ".join(value)

    def event(self, at, time, bounds):
        args, kind, uuid, begun, ended = {}, None, None, [], []
        for _, field, value in fields(self.data, *bounds):
            if field == 4:
                self.annotations(at, value, args)
            elif field == 9:
                kind = TYPES.get(value)
            elif field == 11:
                uuid = value
            elif field == 10:
                args["name"] = self.interned(at, 2, value)
            elif field == 23:
                args["name"] = self.text(at, value)
            elif field == 30:
                args["value"] = value
            elif field == 47:
                begun.append(value)
            elif field == 48:
                ended.append(value)
        if kind is None or time is None or uuid not in self.tracks:
            raise Broken(at, f"an event of type {kind} at {time} on track {uuid}")
        if self.tracks[uuid][2] != (kind == "Counter"):
            raise Broken(at, f"{kind} on track {self.tracks[uuid][0]!r}")
        if kind == "Counter":
            args = {"name": self.tracks[uuid][0], **args}
        self.flow(at, begun, ended)
        event = Event(at, time, kind, None, None, None, args)
        if kind.startswith("Slice"):
            self.slice(event, uuid)
        elif args.get("name") == "CPU sample":
            self.sample(event)
        return event

    def sample(self, event):
        if not event.args.get("stack"):
            raise Broken(event.offset, "a CPU sample has no stack")
        event.name, event.task = "CPUSample", event.args.get("task", 0)
        event.args["stack"] = tuple((0, frame.split(" ")[0], "", 0)
                                    for frame in event.args["stack"].split(" < "))

    def flow(self, at, begun, ended):
        for flow in begun:
            if flow in self.flows:
                raise Broken(at, f"arrow {flow} begins twice")
            self.flows.add(flow)
        for flow in ended:
            if flow not in self.flows:
                raise Broken(at, f"arrow {flow} ends before it begins")

    def slice(self, event, uuid):
        name = self.tracks[uuid][0]
        if event.time < self.last.get(uuid, 0):
            raise Broken(event.offset, f"track {name!r} is at {self.last[uuid]} already")
        self.last[uuid] = event.time
        begins = event.name == "SliceBegin"
        if begins == (uuid in self.open):
            raise Broken(event.offset, f"{event.name} on track {name!r}, whose open slice is "
                         f"{self.open.get(uuid)!r}")
        if begins:
            self.open[uuid] = event.args.get("name", "")
        else:
            del self.open[uuid]
        if is_task(uuid):
            event.task = uuid & ~TASK_TRACK
            slice_name = event.args.get("name", "")
            state = STATES.get(slice_name, "waiting") if begins else None
            event.moves = ((event.task, state, slice_name if state == "waiting" else ""),)


def is_task(uuid):
    return uuid >> 56 == TASK_TRACK >> 56


def read(data):
    reader = Reader(data)
    for at, packet in reader.packets():
        if 12 in packet:
            reader.intern(at, packet[12])
        if 60 in packet:
            yield reader.describe(at, packet[60])
        if 11 in packet:
            yield reader.event(at, packet.get(8), packet[11])
    yield Event(len(data), 0, "Generation", None, None, None, {"number": 1})
