// shop_pb.ts is what protoc-gen-es makes of shop.proto. To make it anew: buf generate deploy/local/demo --template
// '{"version":"v2","plugins":[{"local":"protoc-gen-es","out":"deploy/local/demo","opt":["target=ts","import_extension=ts"]}]}'
import { expect, test } from "bun:test"
import { fromBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { file_shop } from "./shop_pb.ts"

test("the generated code describes the same services and messages as shop.proto", () => {
  const built = Bun.spawnSync({
    cmd: ["buf", "build", import.meta.dir, "--exclude-source-info", "-o", "-#format=binpb"],
    cwd: `${import.meta.dir}/../../..`,
    env: { ...process.env, PATH: `node_modules/.bin:${process.env.PATH}` },
  })
  expect(built.stderr.toString()).toBe("")
  const [file] = fromBinary(FileDescriptorSetSchema, built.stdout).file
  expect(file?.messageType).toEqual(file_shop.proto.messageType)
  expect(file?.service).toEqual(file_shop.proto.service)
})
