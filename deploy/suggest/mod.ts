// The face of deploy/suggest: the word that was meant, for every complaint about one that is not known.
export { didYouMean, editDistance, nearest } from "./suggest.ts"
