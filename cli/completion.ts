// `conduit completion`: a few lines for bash, zsh or fish that ask `conduit` itself, so that they never go stale.
import { argumentsOf, command } from "./command_line/command.ts"
import { complete } from "./command_line/complete.ts"
import { COMMANDS } from "./commands.ts"
import { UsageError } from "./failure.ts"
import { GLOBAL_FLAGS } from "./flags.ts"
import { writeOut } from "./output.ts"

const SHELLS = ["bash", "zsh", "fish"]

const BASH = `# conduit completion for bash: source <(conduit completion bash)
_conduit() {
  local IFS=$'\\n' words
  words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  COMPREPLY=($(conduit completion words -- "\${words[@]}" 2>/dev/null | cut -f1))
}
complete -o default -F _conduit conduit
`

const ZSH = `#compdef conduit
# conduit completion for zsh: source <(conduit completion zsh)
_conduit() {
  local -a lines
  local line
  for line in "\${(@f)$(conduit completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && lines+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( \${#lines} )); then _describe conduit lines; else _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _conduit "$@"; else compdef _conduit conduit; fi
`

const FISH = `# conduit completion for fish: conduit completion fish | source
function __conduit_words
    set -l words (commandline -opc)
    conduit completion words -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c conduit -f -a '(__conduit_words)'
`

/** `conduit completion SHELL`. */
export const completion = command({
  meta: { name: "completion", description: "Completion for bash, zsh or fish" },
  args: {
    shell: { type: "positional", valueHint: "SHELL", description: "bash, zsh or fish", required: true },
  },
  variadic: true,
  offers: { shell: SHELLS },
  examples: [
    { line: "source <(conduit completion bash)", why: "for this bash" },
    { line: "conduit completion zsh > ~/.zfunc/_conduit", why: "for every zsh that has ~/.zfunc in fpath" },
    { line: "conduit completion fish | source", why: "for this fish" },
  ],
  async run({ args, rawArgs }) {
    switch (args.shell) {
      case "bash":
        return writeOut(BASH)
      case "zsh":
        return writeOut(ZSH)
      case "fish":
        return writeOut(FISH)
      case "words": {
        // What the scripts above call: one candidate a line, a tab, what it does.
        const words = rawArgs.slice(rawArgs.indexOf("--") + 1)
        const globals = (await argumentsOf({ args: GLOBAL_FLAGS })).flags
        const found = await complete(COMMANDS, globals, words)
        return writeOut(found.map(one => `${one.word}\t${one.about}\n`).join(""))
      }
      default:
        throw new UsageError(`there is no completion for "${args.shell}"; choose ${SHELLS.join(", ")}`)
    }
  },
})
