# Generated from conduit/plugin/v1/destination.proto, which has the comments. Do not edit.
"""Services of conduit/plugin/v1/destination.proto."""
import grpc

from conduit.plugin.v1 import destination_pb2


class DestinationHookServiceStub:
    """Calls conduit.plugin.v1.DestinationHookService."""

    def __init__(self, channel):
        self.Amend = channel.stream_stream(
            "/conduit.plugin.v1.DestinationHookService/Amend",
            request_serializer=destination_pb2.AmendRequest.SerializeToString,
            response_deserializer=destination_pb2.AmendResponse.FromString,
        )


class DestinationHookServiceServicer:
    """Serves conduit.plugin.v1.DestinationHookService."""

    def Amend(self, request_iterator, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Amend is not served")


def add_DestinationHookServiceServicer_to_server(servicer, server):
    """Has a server serve conduit.plugin.v1.DestinationHookService."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("conduit.plugin.v1.DestinationHookService", {
            "Amend": grpc.stream_stream_rpc_method_handler(
                servicer.Amend,
                request_deserializer=destination_pb2.AmendRequest.FromString,
                response_serializer=destination_pb2.AmendResponse.SerializeToString,
            ),
        }),
    ))
