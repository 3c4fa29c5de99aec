// Plugins: whether each answers, how often it is asked, and what went wrong last.
import { useQuery } from "@connectrpc/connect-query"
import { ApiService } from "../../../../protos/mod.ts"
import { useLive } from "../mesh/live.ts"
import { Commands } from "../parts/commands.tsx"
import { PageHead } from "../parts/figures.tsx"
import { Shown } from "../parts/state.tsx"
import { PluginPanels } from "./plugin_panels.tsx"
import { PluginTable } from "./plugin_table.tsx"

/** The board of plugins. */
export function PluginsPage() {
  const { every } = useLive()
  const plugins = useQuery(ApiService.method.plugins, {}, { refetchInterval: every })
  return (
    <>
      <PageHead title="Plugins">
        What extends the control plane. A plugin that does not answer costs its own function alone.
      </PageHead>
      <section>
        <Shown of={plugins} what="plugins">
          {({ plugins: all }) => <PluginTable plugins={all} />}
        </Shown>
      </section>
      <PluginPanels />
      <Commands
        lines={[
          "conduit plugin list -o wide",
          "conduit plugin check ADDRESS",
          "kubectl get plugins.conduit.io",
        ]}
      />
    </>
  )
}
