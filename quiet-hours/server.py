"""quiet-hours: a plugin of Conduit. This file serves it; hook.py is what it does."""
import json
import os
import signal
from concurrent import futures

import grpc
from conduit.plugin.v1 import plugin_pb2, plugin_pb2_grpc
from google.protobuf.json_format import MessageToDict

import hook


class Plugin(plugin_pb2_grpc.PluginServiceServicer):
    """Says what the plugin is."""

    def Describe(self, request, context):
        configuration = MessageToDict(request.context.configuration)
        return plugin_pb2.DescribeResponse(
            name="quiet-hours",
            version="0.1.0",
            api_versions=["v1"],
            hooks=[plugin_pb2.HOOK_POLICY],
            configuration_schema=json.dumps(hook.SCHEMA),
            problems=[
                plugin_pb2.ConfigurationProblem(path=path, message=message)
                for path, message in hook.problems(configuration)
            ],
        )


def start(address):
    """Starts the plugin; gives the server and its port."""
    # A stream holds a thread for as long as it is open: each process of the control plane has one.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(Plugin(), server)
    hook.add_to(server)
    port = server.add_insecure_port(address)
    server.start()
    return server, port


def main():
    """Serves until it is told to end."""
    server, port = start(f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '9090')}")
    print(f"quiet-hours listens on port {port}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=1))
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=1)


if __name__ == "__main__":
    main()
