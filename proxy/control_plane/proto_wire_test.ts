// The wire format, held to what the general library reads and writes.
import { expect, test } from "bun:test"
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import fc from "fast-check"
import { ProtoError, ProtoReader, ProtoWriter, WIRE_BYTES, WIRE_VARINT } from "./proto_wire.ts"

const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const field = fc.integer({ min: 1, max: 536_870_911 })

test("what is written is what the general library writes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(field, number, fc.string({ minLength: 1, unit: "binary" }), fc.double()), {
        maxLength: 5,
      }),
      fc.array(number, { maxLength: 200 }),
      (rows, packed) => {
        const ours = new ProtoWriter()
        const theirs = new BinaryWriter()
        for (const [id, value, text, double] of rows) {
          ours.varint(id, value)
          theirs.tag(id, WireType.Varint).uint64(value)
          ours.begin(id)
          ours.text(1, text)
          ours.double(2, double)
          ours.begin(3)
          for (const each of packed) ours.rawVarint(each)
          ours.end()
          ours.end()
          theirs.tag(id, WireType.LengthDelimited).fork()
          theirs.tag(1, WireType.LengthDelimited).string(text)
          theirs.tag(2, WireType.Bit64).double(double)
          theirs.tag(3, WireType.LengthDelimited).fork()
          for (const each of packed) theirs.uint64(each)
          theirs.join().join()
        }
        expect(Buffer.compare(ours.finish(), theirs.finish())).toBe(0)
      },
    ),
  )
})

test("a writer that was emptied can be used again", () => {
  const writer = new ProtoWriter()
  writer.varint(1, 300)
  const first = writer.finish()
  writer.varint(1, 300)
  expect(writer.finish()).toEqual(first)
})

test("what the general library writes is read, known fields and unknown ones of every wire type", () => {
  fc.assert(
    fc.property(
      field,
      number,
      fc.string({ unit: "binary" }),
      fc.uint8Array({ maxLength: 300 }),
      (id, value, text, blob) => {
        const bytes = new BinaryWriter()
          .tag(id, WireType.Varint)
          .uint64(value)
          .tag(id, WireType.Bit64)
          .double(1)
          .tag(id, WireType.Bit32)
          .float(1)
          .tag(id, WireType.LengthDelimited)
          .string(text)
          .tag(id, WireType.LengthDelimited)
          .bytes(blob)
          .finish()
        const reader = new ProtoReader(bytes)
        expect([reader.next(), reader.wireType, reader.varint()]).toEqual([id, WIRE_VARINT, value])
        expect(reader.next()).toBe(id)
        reader.skip()
        expect(reader.next()).toBe(id)
        reader.skip()
        expect([reader.next(), reader.wireType, reader.text()]).toEqual([id, WIRE_BYTES, text])
        expect(reader.next()).toBe(id)
        expect(Buffer.compare(reader.view(), blob)).toBe(0)
        expect(reader.next()).toBe(0)
      },
    ),
  )
})

test("bytes of any kind are read or refused, never more than there are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
      const reader = new ProtoReader(bytes)
      try {
        while (reader.next() !== 0) reader.skip()
      } catch (error) {
        expect(error).toBeInstanceOf(ProtoError)
        return
      }
      // What we take, the general library takes too.
      const theirs = new BinaryReader(bytes)
      while (theirs.pos < theirs.len) {
        const [, wireType] = theirs.tag()
        theirs.skip(wireType)
      }
    }),
    { numRuns: 2000 },
  )
})
