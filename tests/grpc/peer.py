"""A gRPC service and its client, by grpcio, without generated code: messages are bytes.

    peer.py serve [--tls CERT KEY] [--unavailable] [--health STATUS]   prints its address, then one line for each thing it sees
    peer.py call ADDRESS CASE [--ca FILE]                              prints what came of one case, as JSON

The service `test.Echo`:
    Unary       gives the message back; metadata `x-want` says what else: `fail:CODE` (the message is the
                text), `sleep:SECONDS`, `reflect`
    Down        takes a number, sends so many messages
    Up          takes messages, sends how many there were and their bytes
    Both        gives each message back as it comes
    Hang        sends one message, then nothing until it is cancelled
    Ends        sends one message, then ends with ABORTED
    Deaf        takes nothing and says nothing until it is cancelled
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "test.Echo"


def say(line):
    print(line, flush=True)


def code_of(number):
    return next(code for code in grpc.StatusCode if code.value[0] == number)


class Service:
    def __init__(self, unavailable):
        self.unavailable = unavailable

    def unary(self, request, context):
        metadata = dict(context.invocation_metadata())
        say("unary " + metadata.get("x-request-id", "-"))
        if self.unavailable:
            context.abort(grpc.StatusCode.UNAVAILABLE, "this one is out")
        what, _, rest = metadata.get("x-want", "").partition(":")
        if what == "fail":
            context.set_trailing_metadata((("x-why", "asked for"), ("x-why-bin", b"\x00\xff")))
            context.abort(code_of(int(rest)), request.decode())
        if what == "sleep":
            time.sleep(float(rest))
        if what == "reflect":
            context.send_initial_metadata((("x-early", "initial"),))
            context.set_trailing_metadata((("x-late", "trailing"), ("x-late-bin", bytes(range(256)))))
            left = context.time_remaining()
            seen = {name: value for name, value in metadata.items() if isinstance(value, str)}
            seen["x-blob-bin"] = list(metadata.get("x-blob-bin", b""))
            return json.dumps({"metadata": seen, "left": left if left is not None and left < 1e6 else None}).encode()
        return request

    def down(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number

    def up(self, requests, context):
        count = size = 0
        for request in requests:
            count += 1
            size += len(request)
        return b"%d %d" % (count, size)

    def both(self, requests, context):
        for request in requests:
            yield request

    def _until_cancelled(self, context, name):
        over = threading.Event()
        if not context.add_callback(over.set):
            over.set()
        say(f"{name} begun")
        over.wait(60)
        say(f"{name} over")

    def hang(self, request, context):
        yield b"first"
        self._until_cancelled(context, "hang")

    def ends(self, request, context):
        yield b"first"
        context.abort(grpc.StatusCode.ABORTED, "no more of it")

    def deaf(self, requests, context):
        self._until_cancelled(context, "deaf")
        return b""


class Health(grpc.GenericRpcHandler):
    """grpc.health.v1.Health: one answer for all services."""

    def __init__(self, status):
        self.status = status

    def service(self, details):
        if details.method != "/grpc.health.v1.Health/Check":
            return None

        def check(request, context):
            say("check " + request.hex())
            if self.status == "not-found":
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return bytes([8, int(self.status)])

        return grpc.unary_unary_rpc_method_handler(check)


def serve(options):
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    service = Service("--unavailable" in options)
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(service.unary),
        "Down": grpc.unary_stream_rpc_method_handler(service.down),
        "Up": grpc.stream_unary_rpc_method_handler(service.up),
        "Both": grpc.stream_stream_rpc_method_handler(service.both),
        "Hang": grpc.unary_stream_rpc_method_handler(service.hang),
        "Ends": grpc.unary_stream_rpc_method_handler(service.ends),
        "Deaf": grpc.stream_unary_rpc_method_handler(service.deaf),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if "--health" in options:
        server.add_generic_rpc_handlers((Health(options[options.index("--health") + 1]),))
    if "--tls" in options:
        at = options.index("--tls")
        cert, key = (open(name, "rb").read() for name in options[at + 1 : at + 3])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say(f"127.0.0.1:{port}")
    # It ends with whoever started it.
    sys.stdin.read()
    server.stop(None)


def plain(metadata):
    return {name: list(value) if isinstance(value, bytes) else value for name, value in metadata or ()}


def failure(error):
    return {
        "code": error.code().value[0],
        "details": error.details(),
        "trailing": plain(error.trailing_metadata()),
        "initial": plain(error.initial_metadata()),
    }


class Client:
    def __init__(self, channel):
        self.channel = channel

    def unary(self, message=b"hello", metadata=(), method="Unary", service=SERVICE, **kw):
        return self.channel.unary_unary(f"/{service}/{method}").with_call(message, metadata=metadata, timeout=kw.get("timeout", 30))

    def case(self, name, argument):
        return getattr(self, "case_" + name.replace("-", "_"))(argument)

    def case_unary(self, size):
        message = b"x" * int(size or 5)
        answer, call = self.unary(message)
        return {"code": call.code().value[0], "same": answer == message}

    def case_many(self, count):
        """So many calls at once on one connection."""
        calls = [self.channel.unary_unary(f"/{SERVICE}/Unary").future(b"%d" % n, timeout=30) for n in range(int(count))]
        return {"right": sum(call.result() == b"%d" % n for n, call in enumerate(calls))}

    def case_reflect(self, timeout):
        metadata = (("x-want", "reflect"), ("x-plain", "as it is"), ("x-blob-bin", bytes(range(256))))
        answer, call = self.unary(metadata=metadata, timeout=float(timeout) if timeout else None)
        return {**json.loads(answer), "initial": plain(call.initial_metadata()), "trailing": plain(call.trailing_metadata())}

    def case_fail(self, what):
        """CODE TEXT"""
        code, _, text = what.partition(" ")
        return self.unary(text.encode(), metadata=(("x-want", "fail:" + code),))

    def case_several(self, count):
        """So many calls one after the other: how many got which code."""
        codes = {}
        for _ in range(int(count)):
            try:
                code = self.unary()[1].code()
            except grpc.RpcError as error:
                code = error.code()
            codes[code.value[0]] = codes.get(code.value[0], 0) + 1
        return codes

    def case_sleep(self, what):
        """SLEEP TIMEOUT"""
        sleep, timeout = what.split()
        return self.unary(metadata=(("x-want", "sleep:" + sleep),), timeout=float(timeout))

    def case_method(self, what):
        service, _, method = what.partition("/")
        answer, _ = self.unary(service=service, method=method)
        return {"answer": answer.decode()}

    def case_down(self, count):
        answers = list(self.channel.unary_stream(f"/{SERVICE}/Down")(count.encode(), timeout=60))
        return {"count": len(answers), "in_order": answers == [b"%d" % n for n in range(int(count))]}

    def case_up(self, what):
        """COUNT SIZE"""
        count, size = map(int, what.split())
        answer = self.channel.stream_unary(f"/{SERVICE}/Up")((b"x" * size for _ in range(count)), timeout=60)
        return {"answer": answer.decode()}

    def case_both(self, count):
        """Each message waits for the answer to the one before: nothing may be held back."""
        turn = threading.Semaphore(1)

        def requests():
            for number in range(int(count)):
                turn.acquire()
                yield b"%d" % number

        right = 0
        for number, answer in enumerate(self.channel.stream_stream(f"/{SERVICE}/Both")(requests(), timeout=60)):
            right += answer == b"%d" % number
            turn.release()
        return {"right": right}

    def case_ends(self, _):
        call = self.channel.unary_stream(f"/{SERVICE}/Ends")(b"", timeout=30)
        return self._stream(call)

    def case_hang(self, _):
        """Stays until the stream ends."""
        return self._stream(self.channel.unary_stream(f"/{SERVICE}/Hang")(b"", timeout=60))

    def _stream(self, call):
        answers = []
        try:
            for answer in call:
                answers.append(answer.decode())
                say(json.dumps({"came": answer.decode()}))
        except grpc.RpcError as error:
            return {"answers": answers, **failure(error)}
        return {"answers": answers, "code": 0}

    def case_cancel(self, _):
        """Cancels after the first message, when it is told to."""
        call = self.channel.unary_stream(f"/{SERVICE}/Hang")(b"", timeout=60)
        first = next(call)
        sys.stdin.readline()
        call.cancel()
        return {"first": first.decode()}

    def case_cancel_up(self, _):
        """Cancels, when it is told to, while the server takes nothing and every window is full."""
        stopped = threading.Event()

        def requests():
            while not stopped.is_set():
                yield b"x" * 100_000

        call = self.channel.stream_unary(f"/{SERVICE}/Deaf").future(requests(), timeout=60)
        sys.stdin.readline()
        call.cancel()
        stopped.set()
        return {"cancelled": call.cancelled()}


def call(address, name, argument, options):
    large = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
    if "--ca" in options:
        at = options.index("--ca")
        credentials = grpc.ssl_channel_credentials(open(options[at + 1], "rb").read())
        channel = grpc.secure_channel(address, credentials, [*large, ("grpc.ssl_target_name_override", "localhost")])
    else:
        channel = grpc.insecure_channel(address, large)
    with channel:
        try:
            result = Client(channel).case(name, argument)
            if isinstance(result, tuple):
                result = {"code": 0}
        except grpc.RpcError as error:
            result = failure(error)
    say(json.dumps(result))


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    else:
        address, name, argument, *options = sys.argv[2:]
        call(address, name, argument, options)


main()
