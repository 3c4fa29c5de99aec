// The face of deploy/: everything that puts Conduit somewhere.
export * from "./inject/mod.ts"
export * from "./local/mod.ts"
export * from "./redirect/mod.ts"
