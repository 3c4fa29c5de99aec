// HPACK against the examples of RFC 7541 appendix C (always) and recorded stories of other encoders (where they are).
import { expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { FieldTable } from "./field_table.ts"
import type { HeaderField } from "./header_field.ts"
import { DECODE_OK, HpackDecoder } from "./hpack_decoder.ts"
import { HpackEncoder } from "./hpack_encoder.ts"

type Pair = readonly [string, string]

function pairs(fields: readonly HeaderField[]): Pair[] {
  return fields.map(field => [field.name.text, field.value] as const)
}

function unhex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"))
}

function decodeBlock(decoder: HpackDecoder, block: Uint8Array): HeaderField[] {
  const fields: HeaderField[] = []
  expect(decoder.decode(block, 0, block.length, fields)).toBe(DECODE_OK)
  return fields
}

/** Appendix C.2 to C.6: blocks in order on one connection, and the octets in the table after each. */
const APPENDIX_C: readonly {
  name: string
  tableBytes: number
  blocks: readonly (readonly [string, readonly Pair[], number])[]
}[] = [
  {
    name: "C.2.1 literal with indexing",
    tableBytes: 4096,
    blocks: [
      [
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        [["custom-key", "custom-header"]],
        55,
      ],
    ],
  },
  {
    name: "C.2.2 literal without indexing",
    tableBytes: 4096,
    blocks: [["040c 2f73 616d 706c 652f 7061 7468", [[":path", "/sample/path"]], 0]],
  },
  {
    name: "C.2.3 literal never indexed",
    tableBytes: 4096,
    blocks: [["1008 7061 7373 776f 7264 0673 6563 7265 74", [["password", "secret"]], 0]],
  },
  { name: "C.2.4 indexed", tableBytes: 4096, blocks: [["82", [[":method", "GET"]], 0]] },
  ...(
    [
      [
        "C.3 requests without Huffman",
        [
          "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
          "8286 84be 5808 6e6f 2d63 6163 6865",
          "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
      ],
      [
        "C.4 requests with Huffman",
        [
          "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
          "8286 84be 5886 a8eb 1064 9cbf",
          "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
      ],
    ] as const
  ).map(([name, wire]) => ({
    name,
    tableBytes: 4096,
    blocks: [
      [
        wire[0],
        [
          [":method", "GET"],
          [":scheme", "http"],
          [":path", "/"],
          [":authority", "www.example.com"],
        ],
        57,
      ],
      [
        wire[1],
        [
          [":method", "GET"],
          [":scheme", "http"],
          [":path", "/"],
          [":authority", "www.example.com"],
          ["cache-control", "no-cache"],
        ],
        110,
      ],
      [
        wire[2],
        [
          [":method", "GET"],
          [":scheme", "https"],
          [":path", "/index.html"],
          [":authority", "www.example.com"],
          ["custom-key", "custom-value"],
        ],
        164,
      ],
    ] as const,
  })),
  ...(
    [
      [
        "C.5 responses without Huffman, with eviction",
        [
          "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
          "4803 3330 37c1 c0bf",
          "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ],
      ],
      [
        "C.6 responses with Huffman, with eviction",
        [
          "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
          "4883 640e ffc1 c0bf",
          "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
      ],
    ] as const
  ).map(([name, wire]) => ({
    name,
    tableBytes: 256,
    blocks: [
      [
        wire[0],
        [
          [":status", "302"],
          ["cache-control", "private"],
          ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
          ["location", "https://www.example.com"],
        ],
        222,
      ],
      [
        wire[1],
        [
          [":status", "307"],
          ["cache-control", "private"],
          ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
          ["location", "https://www.example.com"],
        ],
        222,
      ],
      [
        wire[2],
        [
          [":status", "200"],
          ["cache-control", "private"],
          ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
          ["location", "https://www.example.com"],
          ["content-encoding", "gzip"],
          ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
        ],
        215,
      ],
    ] as const,
  })),
]

for (const example of APPENDIX_C) {
  test(`RFC 7541 appendix ${example.name}`, () => {
    // Twice, since the second run meets fields that are interned by then.
    const table = new FieldTable()
    for (let round = 0; round < 3; round++) {
      const decoder = new HpackDecoder(table, example.tableBytes)
      for (const [hex, expected, tableBytes] of example.blocks) {
        expect(pairs(decodeBlock(decoder, unhex(hex)))).toEqual([...expected])
        expect(decoder.tableBytes).toBe(tableBytes)
      }
    }
  })
}

interface Story {
  readonly cases: readonly {
    readonly wire: string
    readonly header_table_size?: number
    readonly headers: readonly Record<string, string>[]
  }[]
}

const root = resolve(import.meta.dir, "../../..")
const vectors = join(process.env.CONDUIT_VECTORS ?? resolve(root, "../shared/vectors"), "hpack")

if (existsSync(vectors)) {
  for (const encoder of ["go-hpack", "nghttp2", "nghttp2-change-table-size"]) {
    for (const file of readdirSync(join(vectors, encoder))) {
      test(`${encoder}/${file} decodes to the recorded headers, and again after our encoder`, () => {
        const story = JSON.parse(readFileSync(join(vectors, encoder, file), "utf8")) as Story
        const table = new FieldTable()
        for (let round = 0; round < 3; round++) {
          const decoder = new HpackDecoder(table)
          const again = new HpackDecoder(table)
          const ours = new HpackEncoder()
          for (const { wire, header_table_size, headers } of story.cases) {
            if (header_table_size !== undefined) {
              decoder.setLimit(header_table_size)
              again.setLimit(header_table_size)
              ours.setLimit(header_table_size)
            }
            const expected = headers.flatMap(header => Object.entries(header))
            const fields = decodeBlock(decoder, unhex(wire))
            expect(pairs(fields)).toEqual(expected)
            const out = new Uint8Array(ours.bound(fields))
            const end = ours.encode(fields, out, 0)
            expect(pairs(decodeBlock(again, out.subarray(0, end)))).toEqual(expected)
          }
        }
      })
    }
  }
} else {
  process.stderr.write(
    `hpack: ${vectors} is not there (CONDUIT_VECTORS names it); only RFC 7541 appendix C was run\n`,
  )
}
