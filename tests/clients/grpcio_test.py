"""Python's grpcio against the conformance service and against the daemon's process service."""
import os
import threading
import unittest

import grpc

from envd import Envd
from servers import RECEIVE_LIMIT, ConformanceServer, messages

DEADLINE_S = 20
SERVICE = "/connectrpc.conformance.v1.ConformanceService/"
NO_PROXY = (("grpc.enable_http_proxy", 0),)


class Stub:
    """Methods of one service from the names of their messages."""

    def __init__(self, channel, prefix, known):
        self.channel, self.prefix, self.known = channel, prefix, known

    def __call__(self, kind, method, answer):
        make = getattr(self.channel, kind)
        return make(self.prefix + method, request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=self.known[answer].FromString)


class Grpcio(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ConformanceServer()
        cls.known = {name.rsplit(".", 1)[1]: kind for name, kind in messages("conformance").items()}
        cls.channel = grpc.insecure_channel(cls.server.address, options=NO_PROXY)
        cls.call = staticmethod(Stub(cls.channel, SERVICE, cls.known))

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        assert cls.server.end() == 0, "the conformance server did not end well"

    def message(self, kind, /, **fields):
        return self.known[kind](**fields)

    def definition(self, kind="Unary", /, **fields):
        return self.message(f"{kind}ResponseDefinition", **fields)

    def error(self, code, text):
        return self.message("Error", code=code, message=text)

    def test_grpcio_unary_call_carries_data_headers_and_trailers(self):
        header = self.message("Header", name="x-ours", value=["a", "b"])
        request = self.message("UnaryRequest", request_data=b"asked", response_definition=self.definition(
            response_data=b"answered", response_headers=[header], response_trailers=[header]))
        answer, call = self.call("unary_unary", "Unary", "UnaryResponse").with_call(
            request, timeout=DEADLINE_S, metadata=(("x-theirs", "1"), ("x-bytes-bin", b"\x00\xff")))
        self.assertEqual(answer.payload.data, b"answered")
        self.assertEqual([text for name, text in call.initial_metadata() if name == "x-ours"], ["a", "b"])
        self.assertEqual([text for name, text in call.trailing_metadata() if name == "x-ours"], ["a", "b"])
        seen = {h.name: list(h.value) for h in answer.payload.request_info.request_headers}
        self.assertEqual(seen["x-theirs"], ["1"])
        self.assertEqual([text.rstrip("=") for text in seen["x-bytes-bin"]], ["AP8"])
        self.assertGreater(answer.payload.request_info.timeout_ms, 0)

    def test_grpcio_unary_error_has_code_and_text(self):
        request = self.message("UnaryRequest", response_definition=self.definition(error=self.error(9, "nicht möglich: 100 %")))
        with self.assertRaises(grpc.RpcError) as caught:
            self.call("unary_unary", "Unary", "UnaryResponse")(request, timeout=DEADLINE_S)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertEqual(caught.exception.details(), "nicht möglich: 100 %")

    def test_grpcio_unimplemented_method_says_so(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.call("unary_unary", "Unimplemented", "UnimplementedResponse")(
                self.message("UnimplementedRequest"), timeout=DEADLINE_S)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_grpcio_compressed_call_is_answered(self):
        data = b"compressible " * 10000
        request = self.message("UnaryRequest", request_data=data, response_definition=self.definition(response_data=data))
        answer = self.call("unary_unary", "Unary", "UnaryResponse")(
            request, timeout=DEADLINE_S, compression=grpc.Compression.Gzip)
        self.assertEqual(answer.payload.data, data)

    def test_grpcio_deadline_ends_the_call(self):
        request = self.message("UnaryRequest", response_definition=self.definition(response_delay_ms=10_000))
        with self.assertRaises(grpc.RpcError) as caught:
            self.call("unary_unary", "Unary", "UnaryResponse")(request, timeout=0.2)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_grpcio_message_over_the_limit_is_refused(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.call("unary_unary", "Unary", "UnaryResponse")(
                self.message("UnaryRequest", request_data=bytes(2 * RECEIVE_LIMIT)), timeout=DEADLINE_S)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)

    def test_grpcio_server_stream_delivers_all_then_the_error(self):
        request = self.message("ServerStreamRequest", response_definition=self.definition(
            "Stream", response_data=[b"1", b"2", b"3"], error=self.error(8, "enough")))
        got = []
        with self.assertRaises(grpc.RpcError) as caught:
            for answer in self.call("unary_stream", "ServerStream", "ServerStreamResponse")(request, timeout=DEADLINE_S):
                got.append(answer.payload.data)
        self.assertEqual(got, [b"1", b"2", b"3"])
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)

    def test_grpcio_client_stream_is_answered_once(self):
        requests = [self.message("ClientStreamRequest", request_data=bytes([n])) for n in range(5)]
        requests[0].response_definition.response_data = b"all"
        answer = self.call("stream_unary", "ClientStream", "ClientStreamResponse")(iter(requests), timeout=DEADLINE_S)
        self.assertEqual((answer.payload.data, len(answer.payload.request_info.requests)), (b"all", 5))

    def test_grpcio_full_duplex_stream_answers_each_message_as_it_comes(self):
        first = self.message("BidiStreamRequest", full_duplex=True, request_data=b"0", response_definition=self.definition(
            "Stream", response_data=[b"one", b"two"]))
        is_answered = threading.Event()

        def requests():
            yield first
            is_answered.wait(DEADLINE_S)  # the second is sent when the first was answered
            yield self.message("BidiStreamRequest", request_data=b"1")

        answers = []
        for answer in self.call("stream_stream", "BidiStream", "BidiStreamResponse")(requests(), timeout=DEADLINE_S):
            answers.append(answer.payload.data)
            is_answered.set()
        self.assertEqual(answers, [b"one", b"two"])

    def test_grpcio_half_duplex_stream_answers_at_the_end(self):
        requests = [self.message("BidiStreamRequest", request_data=bytes([n])) for n in range(3)]
        requests[0].response_definition.response_data.extend([b"one", b"two"])
        call = self.call("stream_stream", "BidiStream", "BidiStreamResponse")(iter(requests), timeout=DEADLINE_S)
        self.assertEqual([answer.payload.data for answer in call], [b"one", b"two"])

    def test_grpcio_many_calls_share_a_connection(self):
        call = self.call("unary_unary", "Unary", "UnaryResponse")
        futures = [call.future(self.message("UnaryRequest", response_definition=self.definition(
            response_data=str(n).encode())), timeout=DEADLINE_S) for n in range(200)]
        self.assertEqual([future.result().payload.data for future in futures], [str(n).encode() for n in range(200)])


class GrpcioProcess(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.envd = Envd()
        cls.known = messages("process")
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{cls.envd.port}", options=NO_PROXY)
        cls.call = staticmethod(Stub(cls.channel, "/process.Process/", cls.known))

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        assert cls.envd.end()[0] == 0, "the daemon did not end well"

    def start(self, script, **options):
        request = self.known["process.StartRequest"]()
        request.process.cmd = "/bin/sh"
        request.process.args.extend(["-c", script])
        request.stdin = False
        return self.call("unary_stream", "Start", "process.StartResponse")(request, timeout=DEADLINE_S, **options)

    def test_grpcio_start_runs_a_command(self):
        events = [answer.event for answer in self.start("echo out; echo err >&2; exit 3")]
        self.assertEqual([event.WhichOneof("event") for event in (events[0], events[-1])], ["start", "end"])
        self.assertEqual(b"".join(event.data.stdout for event in events[1:-1]), b"out\n")
        self.assertEqual(b"".join(event.data.stderr for event in events[1:-1]), b"err\n")
        self.assertEqual((events[-1].end.exit_code, events[-1].end.status), (3, "exit status 3"))

    def test_grpcio_large_output_arrives_whole(self):
        data = b"".join(answer.event.data.stdout for answer in self.start("seq 1 500000"))
        self.assertEqual(data, b"".join(b"%d\n" % n for n in range(1, 500001)))

    def test_grpcio_signal_ends_a_command(self):
        call = self.start("exec sleep 1000")
        pid = next(call).event.start.pid
        listed = self.call("unary_unary", "List", "process.ListResponse")(self.known["process.ListRequest"](), timeout=DEADLINE_S)
        self.assertEqual([process.pid for process in listed.processes], [pid])
        signal = self.known["process.SendSignalRequest"](signal=9)
        signal.process.pid = pid
        send = self.call("unary_unary", "SendSignal", "process.SendSignalResponse")
        send(signal, timeout=DEADLINE_S)
        self.assertEqual([answer.event.end.status for answer in call], ["signal: killed"])
        with self.assertRaises(grpc.RpcError) as caught:
            send(signal, timeout=DEADLINE_S)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_grpcio_start_as_unknown_user_is_unauthenticated(self):
        metadata = (("authorization", "Basic bm9ib2R5LWhlcmU6"),)
        with self.assertRaises(grpc.RpcError) as caught:
            list(self.start("id", metadata=metadata))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
        self.assertEqual(caught.exception.details(), "invalid username: 'nobody-here'")


os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
