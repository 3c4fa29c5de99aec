# Generated from conduit/plugin/v1/hooks.proto, which has the comments. Do not edit.
"""Services of conduit/plugin/v1/hooks.proto."""
import grpc

from conduit.plugin.v1 import hooks_pb2


class IdentityHookServiceStub:
    """Calls conduit.plugin.v1.IdentityHookService."""

    def __init__(self, channel):
        self.Review = channel.unary_unary(
            "/conduit.plugin.v1.IdentityHookService/Review",
            request_serializer=hooks_pb2.ReviewRequest.SerializeToString,
            response_deserializer=hooks_pb2.ReviewResponse.FromString,
        )


class IdentityHookServiceServicer:
    """Serves conduit.plugin.v1.IdentityHookService."""

    def Review(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Review is not served")


def add_IdentityHookServiceServicer_to_server(servicer, server):
    """Has a server serve conduit.plugin.v1.IdentityHookService."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("conduit.plugin.v1.IdentityHookService", {
            "Review": grpc.unary_unary_rpc_method_handler(
                servicer.Review,
                request_deserializer=hooks_pb2.ReviewRequest.FromString,
                response_serializer=hooks_pb2.ReviewResponse.SerializeToString,
            ),
        }),
    ))


class TelemetryHookServiceStub:
    """Calls conduit.plugin.v1.TelemetryHookService."""

    def __init__(self, channel):
        self.Observe = channel.stream_unary(
            "/conduit.plugin.v1.TelemetryHookService/Observe",
            request_serializer=hooks_pb2.ObserveRequest.SerializeToString,
            response_deserializer=hooks_pb2.ObserveResponse.FromString,
        )


class TelemetryHookServiceServicer:
    """Serves conduit.plugin.v1.TelemetryHookService."""

    def Observe(self, request_iterator, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Observe is not served")


def add_TelemetryHookServiceServicer_to_server(servicer, server):
    """Has a server serve conduit.plugin.v1.TelemetryHookService."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("conduit.plugin.v1.TelemetryHookService", {
            "Observe": grpc.stream_unary_rpc_method_handler(
                servicer.Observe,
                request_deserializer=hooks_pb2.ObserveRequest.FromString,
                response_serializer=hooks_pb2.ObserveResponse.SerializeToString,
            ),
        }),
    ))


class InjectionHookServiceStub:
    """Calls conduit.plugin.v1.InjectionHookService."""

    def __init__(self, channel):
        self.Mutate = channel.unary_unary(
            "/conduit.plugin.v1.InjectionHookService/Mutate",
            request_serializer=hooks_pb2.MutateRequest.SerializeToString,
            response_deserializer=hooks_pb2.MutateResponse.FromString,
        )


class InjectionHookServiceServicer:
    """Serves conduit.plugin.v1.InjectionHookService."""

    def Mutate(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Mutate is not served")


def add_InjectionHookServiceServicer_to_server(servicer, server):
    """Has a server serve conduit.plugin.v1.InjectionHookService."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("conduit.plugin.v1.InjectionHookService", {
            "Mutate": grpc.unary_unary_rpc_method_handler(
                servicer.Mutate,
                request_deserializer=hooks_pb2.MutateRequest.FromString,
                response_serializer=hooks_pb2.MutateResponse.SerializeToString,
            ),
        }),
    ))


class CheckHookServiceStub:
    """Calls conduit.plugin.v1.CheckHookService."""

    def __init__(self, channel):
        self.Check = channel.unary_unary(
            "/conduit.plugin.v1.CheckHookService/Check",
            request_serializer=hooks_pb2.CheckRequest.SerializeToString,
            response_deserializer=hooks_pb2.CheckResponse.FromString,
        )


class CheckHookServiceServicer:
    """Serves conduit.plugin.v1.CheckHookService."""

    def Check(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Check is not served")


def add_CheckHookServiceServicer_to_server(servicer, server):
    """Has a server serve conduit.plugin.v1.CheckHookService."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("conduit.plugin.v1.CheckHookService", {
            "Check": grpc.unary_unary_rpc_method_handler(
                servicer.Check,
                request_deserializer=hooks_pb2.CheckRequest.FromString,
                response_serializer=hooks_pb2.CheckResponse.SerializeToString,
            ),
        }),
    ))


class ApiHookServiceStub:
    """Calls conduit.plugin.v1.ApiHookService."""

    def __init__(self, channel):
        self.Services = channel.unary_unary(
            "/conduit.plugin.v1.ApiHookService/Services",
            request_serializer=hooks_pb2.ServicesRequest.SerializeToString,
            response_deserializer=hooks_pb2.ServicesResponse.FromString,
        )


class ApiHookServiceServicer:
    """Serves conduit.plugin.v1.ApiHookService."""

    def Services(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Services is not served")


def add_ApiHookServiceServicer_to_server(servicer, server):
    """Has a server serve conduit.plugin.v1.ApiHookService."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("conduit.plugin.v1.ApiHookService", {
            "Services": grpc.unary_unary_rpc_method_handler(
                servicer.Services,
                request_deserializer=hooks_pb2.ServicesRequest.FromString,
                response_serializer=hooks_pb2.ServicesResponse.SerializeToString,
            ),
        }),
    ))
