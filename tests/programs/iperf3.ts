// iperf3: many bytes both ways, several connections at once.
import type { Program } from "./program.ts"

// The end of a test is told over a connection of its own, and overtakes what is still on its way through sockets.
const received = `/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["end"]["sum_received"]["bytes"] > 900000000)'`

export const iperf3: Program = {
  name: "iperf3",
  packages: ["iperf3"],
  servers: [{ name: "iperf3", ports: [5201], script: "exec iperf3 -s -p 5201" }],
  cases: [
    { name: "1 GiB go up", script: `iperf3 -c iperf3 -n 1G -J | ${received}`, prints: "True" },
    { name: "1 GiB come down", script: `iperf3 -c iperf3 -n 1G -R -J | ${received}`, prints: "True" },
    {
      name: "four connections share the work",
      script: `iperf3 -c iperf3 -n 1G -P 4 -J | ${received}`,
      prints: "True",
    },
    {
      name: "both ways at once for two seconds",
      script:
        "iperf3 -c iperf3 -t 2 --bidir -J > both && grep -c '\"error\"' both; grep -c sum_received_bidir_reverse both",
      prints: "0\n1",
    },
  ],
  seen: { iperf3: "tcp" },
}
