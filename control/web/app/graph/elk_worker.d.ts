declare module "elkjs/lib/elk-worker.min.js" {
  /** Address of the file. */
  const url: string
  // biome-ignore lint/style/noDefaultExport: a file that is imported as one has this shape
  export default url
}

declare module "*.css"
