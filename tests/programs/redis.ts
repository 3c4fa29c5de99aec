// Redis with redis-cli and redis-benchmark: a client that speaks first, in a protocol that is no HTTP.
import type { Program } from "./program.ts"

export const redis: Program = {
  name: "redis",
  packages: ["redis-server", "redis-tools"],
  servers: [
    {
      name: "redis",
      ports: [6379],
      script: `exec redis-server --bind 0.0.0.0 --port 6379 --protected-mode no --save "" --appendonly no --dir "$DIR"`,
    },
  ],
  cases: [
    {
      name: "redis-cli sets and gets",
      script: "redis-cli -h redis set greeting hello && redis-cli -h redis get greeting",
      prints: "OK\nhello",
    },
    {
      name: "a value of 10 MB comes back whole",
      script: `head -c 7500000 /dev/urandom | base64 -w0 > value && redis-cli -h redis -x set large < value &&
        redis-cli -h redis --raw get large | head -c -1 | cmp - value && rm value && echo whole`,
      prints: "OK\nwhole",
    },
    {
      name: "redis-benchmark with pipelines runs to its end",
      script: "redis-benchmark -h redis -q -n 20000 -c 10 -P 16 -t set,get,lpush --csv | cut -d, -f1",
      prints: '"test"\n"SET"\n"GET"\n"LPUSH"',
    },
    {
      name: "subscribers get what is published, though they say nothing for a while",
      script: `redis-cli -h redis subscribe news > heard & listener=$!
        until redis-cli -h redis pubsub numsub news | grep -q 1; do sleep 0.1; done; sleep 1
        for n in 1 2 3; do redis-cli -h redis publish news "item $n" > /dev/null; done
        for try in $(seq 50); do grep -q "item 3" heard && break; sleep 0.1; done
        kill $listener; grep item heard`,
      prints: "item 1\nitem 2\nitem 3",
    },
    {
      name: "a blocking pop waits, and is woken",
      script: `redis-cli -h redis blpop queue 10 > popped & waiter=$!; sleep 1; redis-cli -h redis rpush queue job > /dev/null; wait $waiter; cat popped`,
      prints: "queue\njob",
    },
  ],
  seen: { redis: "tcp" },
}
