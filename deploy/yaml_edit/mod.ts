// The face of deploy/yaml_edit: YAML and JSON documents changed in place, every other byte kept.
export { type Change, editSource, pointerStep, replacedTexts } from "./edit.ts"
export { type ListChanges, listChanges } from "./list_changes.ts"
export {
  EditError,
  type Fields,
  MAX_EXPANDED_VALUES,
  ownPair,
  parseSource,
  type Source,
  YamlError,
} from "./source.ts"
export { type Piece, splitStream } from "./split.ts"
