# Generated from conduit/plugin/v1/policy.proto, which has the comments. Do not edit.
"""Services of conduit/plugin/v1/policy.proto."""
import grpc

from conduit.plugin.v1 import policy_pb2


class PolicyHookServiceStub:
    """Calls conduit.plugin.v1.PolicyHookService."""

    def __init__(self, channel):
        self.Supply = channel.stream_stream(
            "/conduit.plugin.v1.PolicyHookService/Supply",
            request_serializer=policy_pb2.SupplyRequest.SerializeToString,
            response_deserializer=policy_pb2.SupplyResponse.FromString,
        )
        self.Authorize = channel.unary_unary(
            "/conduit.plugin.v1.PolicyHookService/Authorize",
            request_serializer=policy_pb2.AuthorizeRequest.SerializeToString,
            response_deserializer=policy_pb2.AuthorizeResponse.FromString,
        )


class PolicyHookServiceServicer:
    """Serves conduit.plugin.v1.PolicyHookService."""

    def Supply(self, request_iterator, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Supply is not served")

    def Authorize(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Authorize is not served")


def add_PolicyHookServiceServicer_to_server(servicer, server):
    """Has a server serve conduit.plugin.v1.PolicyHookService."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("conduit.plugin.v1.PolicyHookService", {
            "Supply": grpc.stream_stream_rpc_method_handler(
                servicer.Supply,
                request_deserializer=policy_pb2.SupplyRequest.FromString,
                response_serializer=policy_pb2.SupplyResponse.SerializeToString,
            ),
            "Authorize": grpc.unary_unary_rpc_method_handler(
                servicer.Authorize,
                request_deserializer=policy_pb2.AuthorizeRequest.FromString,
                response_serializer=policy_pb2.AuthorizeResponse.SerializeToString,
            ),
        }),
    ))
