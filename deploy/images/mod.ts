// The face of deploy/images: images without a Docker engine.
export { type BuildOptions, buildImages, imageCache, type WrittenImage } from "./build_images.ts"
export { IMAGES, type ImagePlan } from "./catalog.ts"
export { type Architecture, type BuiltImage, type Image, imageArchive, type Layer, layerOf } from "./oci.ts"
export { type Entry, tarArchive } from "./tar.ts"
