// Resource arguments and Services as people type them.
import { expect, test } from "bun:test"
import { parseService } from "./service_argument.ts"
import {
  KINDS,
  kindOf,
  parseResources,
  resourcesOrDeployments,
  resourcesText,
  resourceText,
} from "./resource.ts"

test("short names, plurals, capitals and a group lead to the kind", () => {
  for (const word of ["deploy", "deployment", "deployments", "Deployment", "deployments.apps"]) {
    expect(kindOf(word)).toBe("deployment")
  }
  expect(kindOf("sts")).toBe("statefulset")
  expect(kindOf("po")).toBe("pod")
})

test("every kind can be typed as it is printed", () => {
  for (const kind of Object.keys(KINDS)) {
    expect(parseResources([resourceText(kind, "web")])).toEqual([{ kind, name: "web" }])
  }
})

test("one kind, one resource, and several in each notation", () => {
  expect(parseResources(["deploy"])).toEqual([{ kind: "deployment", name: "" }])
  expect(parseResources(["deploy", "web", "api"])).toEqual([
    { kind: "deployment", name: "web" },
    { kind: "deployment", name: "api" },
  ])
  expect(parseResources(["deploy/web", "sts/db"])).toEqual([
    { kind: "deployment", name: "web" },
    { kind: "statefulset", name: "db" },
  ])
  expect(parseResources(["deploy,sts"]).map(one => one.kind)).toEqual(["deployment", "statefulset"])
})

test("a mistyped kind suggests the right one; mixed and broken notations are refused", () => {
  expect(() => parseResources(["deplyo"])).toThrow('did you mean "deploy"?')
  expect(() => parseResources(["deploy", "svc/web"])).toThrow("mixes two notations")
  expect(() => parseResources(["deploy/"])).toThrow("write TYPE/NAME")
  expect(() => parseResources(["deploy/a/b"])).toThrow("write TYPE/NAME")
})

test("a Service may carry its namespace, its domain and a port", () => {
  expect(parseService("web")).toEqual({ namespace: null, service: "web", port: 0 })
  expect(parseService("web:80")).toEqual({ namespace: null, service: "web", port: 80 })
  expect(parseService("web.shop")).toEqual({ namespace: "shop", service: "web", port: 0 })
  expect(parseService("svc/web.shop.svc.cluster.local:443")).toEqual({
    namespace: "shop",
    service: "web",
    port: 443,
  })
  for (const wrong of ["", "web:", "web:0", "web:70000", "web_", "web.shop.pod"]) {
    expect(() => parseService(wrong), wrong).toThrow("is no Service")
  }
})

test("told nothing, commands that list take every Deployment, and sentences name what was asked for", () => {
  expect(resourcesText(resourcesOrDeployments([]))).toBe("deploy")
  expect(resourcesText(resourcesOrDeployments(["sts/db", "deploy/web"]))).toBe("sts/db, deploy/web")
})

test("names that requests bear are kinds where they are asked for, with slashes in them", () => {
  expect(parseResources(["route/GET /books/{id}", "au/web.shop:80"], true)).toEqual([
    { kind: "route", name: "GET /books/{id}" },
    { kind: "authority", name: "web.shop:80" },
  ])
  expect(parseResources(["routes", "GET /books"], true)).toEqual([{ kind: "route", name: "GET /books" }])
  expect(() => parseResources(["deploy/a/b"], true)).toThrow("write TYPE/NAME")
  expect(() => parseResources(["authority"])).toThrow("conduit stat authority shows traffic by authority")
  expect(() => parseResources(["authorty"], true)).toThrow('did you mean "authority"?')
})

test("who asks for routes is told which command shows them", () => {
  for (const word of ["route", "HTTPRoute", "grpcroute.gateway.networking.k8s.io"])
    expect(() => parseResources([word])).toThrow("conduit routes svc/NAME shows traffic per route")
})
