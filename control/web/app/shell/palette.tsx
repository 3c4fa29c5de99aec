// The palette: every place and every workload by a few letters of its name. The browser's own modal dialog keeps the
// focus within, and gives it back once it is closed: it is closed before it is gone.
import { useNavigate } from "@tanstack/react-router"
import { useEffect, useId, useMemo, useRef, useState } from "react"
import { useLive, useSetPlace } from "../mesh/live.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import { Name } from "../parts/name.tsx"
import { NAV } from "./nav.ts"
import { applyTheme, nextTheme, savedTheme } from "./theme.ts"

/** Most entries that are shown: more letters narrow it down. */
const SHOWN_ENTRIES = 12

interface Entry {
  readonly key: string
  readonly label: string
  readonly about: string
  readonly go: () => void
}

/** The palette, open. */
export function Palette({ close }: { readonly close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const list = useId()
  const [words, setWords] = useState("")
  const [at, setAt] = useState(0)
  const entries = useEntries()
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  const found = useMemo(() => {
    const parts = words.toLowerCase().split(/\s+/).filter(Boolean)
    const fits = ({ label, about }: Entry) =>
      parts.every(part => `${label} ${about}`.toLowerCase().includes(part))
    return entries.filter(fits).slice(0, SHOWN_ENTRIES)
  }, [entries, words])
  const chosen = Math.min(at, found.length - 1)
  const go = (entry: Entry | undefined): void => {
    if (entry === undefined) return
    dialog.current?.close()
    // Not where it came from, which the page that is left may take with it.
    document.getElementById("main")?.focus({ preventScroll: true })
    entry.go()
  }
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it, as of every dialog
    <dialog
      ref={dialog}
      className="palette"
      aria-label="Search"
      onClose={close}
      onClick={event => event.target === dialog.current && dialog.current.close()}
    >
      <input
        type="search"
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={found[chosen] === undefined ? undefined : `${list}-${chosen}`}
        aria-label="Search pages, Deployments and actions"
        placeholder="Search pages, Deployments, actions"
        autoComplete="off"
        spellCheck={false}
        value={words}
        onChange={({ target }) => {
          setWords(target.value)
          setAt(0)
        }}
        onKeyDown={event => {
          const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0
          if (step !== 0) {
            event.preventDefault()
            setAt((chosen + step + found.length) % Math.max(1, found.length))
          } else if (event.key === "Enter") go(found[chosen])
          else if (event.key === "Escape") dialog.current?.close()
        }}
      />
      <div role="listbox" id={list} aria-label="Found">
        {found.map((entry, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the input's
          <div
            key={entry.key}
            id={`${list}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === chosen}
            onClick={() => go(entry)}
            onPointerMove={() => setAt(index)}
          >
            <Name>{entry.label}</Name>
            <span className="quiet">
              <Name>{entry.about}</Name>
            </span>
          </div>
        ))}
      </div>
      {found.length === 0 && <p className="quiet">Nothing bears these letters.</p>}
    </dialog>
  )
}

function useEntries(): readonly Entry[] {
  const navigate = useNavigate()
  const setPlace = useSetPlace()
  const { live } = useLive()
  const { mesh } = useMesh()
  return useMemo(() => {
    const pages = NAV.flatMap(({ entries }) => entries).map(({ to, label }) => ({
      ...{ key: to, label, about: "page" },
      go: () => void navigate({ to }),
    }))
    const workloads = (mesh?.workloads ?? []).map(({ key, namespace, kind, name }) => ({
      ...{ key, label: name, about: `${kind} in ${namespace}` },
      go: () =>
        void navigate({ to: "/deployments/$namespace/$kind/$name", params: { namespace, kind, name } }),
    }))
    const namespaces = (mesh?.namespaces ?? []).map(namespace => ({
      ...{ key: `namespace ${namespace}`, label: namespace, about: "namespace" },
      go: () => void navigate({ to: "/deployments", search: { ns: namespace } }),
    }))
    const actions = [
      {
        ...{ key: "pause", label: live ? "Pause figures" : "Go on with figures", about: "action" },
        go: () => setPlace({ paused: live ? true : undefined }),
      },
      {
        ...{ key: "theme", label: "Change between light and dark", about: "action" },
        go: () => applyTheme(nextTheme(savedTheme())),
      },
    ]
    return [...workloads, ...pages, ...namespaces, ...actions]
  }, [mesh, live, navigate, setPlace])
}
