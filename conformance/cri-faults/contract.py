"""The contract as Python sees it, and a client that speaks it."""

import importlib
import sys

import grpc
from google.protobuf import json_format, symbol_database

PATIENCE = 120


def load(directory):
    """Reads what protoc made; afterwards METHODS and message() work."""
    sys.path.insert(0, directory)
    main = importlib.import_module("cri_pb2")
    for service in main.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            METHODS[method.name] = (f"/{service.full_name}/{method.name}", method)


METHODS = {}
STREAMING = {"GetContainerEvents", "StreamPodSandboxes", "StreamContainers", "StreamContainerStats",
             "StreamPodSandboxStats", "StreamPodSandboxMetrics", "StreamImages"}


def message(descriptor, fields=None):
    """A message of the type, filled from a dictionary."""
    made = symbol_database.Default().GetPrototype(descriptor)()
    return json_format.ParseDict(fields, made) if fields else made


class Failed(Exception):
    """A call that came back with a code."""

    def __init__(self, method, code, text):
        super().__init__(f"{method}: {code}: {text}")
        self.method, self.code, self.text = method, code, text


class Client:
    """Calls by name, with dictionaries for requests."""

    def __init__(self, socket):
        self.channel = grpc.insecure_channel(f"unix://{socket}", options=[
            ("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20),
            ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)])
        self.bare = {}

    def close(self):
        self.channel.close()

    def raw(self, method, body, patience=PATIENCE):
        """Sends bytes; the answer's bytes (of a stream a list), or Failed."""
        if method not in self.bare:
            make = self.channel.unary_stream if method in STREAMING else self.channel.unary_unary
            self.bare[method] = make(METHODS[method][0], lambda b: b, lambda b: b)
        try:
            answer = self.bare[method](body, timeout=patience)
            return list(answer) if method in STREAMING else answer
        except grpc.RpcError as error:
            raise Failed(method, error.code().name, error.details()) from None

    def begin(self, name, fields):
        """Begins a call; what can be cancelled."""
        body = message(METHODS[name][1].input_type, fields).SerializeToString()
        return self.channel.unary_unary(METHODS[name][0], lambda b: b, lambda b: b).future(body)

    def __call__(self, name, fields=None, patience=PATIENCE):
        descriptor = METHODS[name][1]
        body = message(descriptor.input_type, fields).SerializeToString()
        answer = self.raw(name, body, patience)
        read = symbol_database.Default().GetPrototype(descriptor.output_type).FromString
        return [read(one) for one in answer] if name in STREAMING else read(answer)
