/** What root inside does to its network takes nothing from the walls: they stand outside. T61, T62, T64. */
import assert from 'node:assert/strict'
import { ATTACKER } from '../world/names.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes } from './probe.ts'

testEverywhere('root inside cannot change rules, routes or namespaces, and is captured after trying', async world => {
  const outcomes = await runProbes(world, SCRIPT, { allow: ['echo.example.com'], user: '0' })
  const { before, after, raw, ...tried } = outcomes
  assert.match(before ?? '', /^200 /)
  assertOutcomes(tried, /^(failed|E[A-Z]+)$/)
  assert.match(after ?? '', /^200 /)
  assert.match(raw ?? '', /^(reset|refused)$/)
  assert.deepEqual(await world.arrivals(), [])
})

const SCRIPT = `
def run(*argv):
    return "done" if subprocess.run(argv, stdout=-3, stderr=-3).returncode == 0 else "failed"

def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return "written"

attempt("before", https, "echo.example.com")
attempt("nft flush", run, "nft", "flush", "ruleset")
attempt("iptables", run, "iptables", "-F")
attempt("route", run, "ip", "route", "del", "default")
attempt("link", run, "ip", "link", "add", "eth9", "type", "bridge")
attempt("address", run, "ip", "addr", "add", "10.9.9.9/32", "dev", "lo")
attempt("sysctl", write, "/proc/sys/net/ipv4/ip_forward", "1")
attempt("core pattern", write, "/proc/sys/kernel/core_pattern", "|/bin/true")
attempt("user and network namespace", run, "unshare", "-Urn", "true")
attempt("network namespace", run, "unshare", "-n", "true")
attempt("host's namespace", run, "nsenter", "-t", "1", "-n", "true")
attempt("mount", run, "mount", "-t", "tmpfs", "tmpfs", "/mnt")
attempt("after", https, "echo.example.com")
attempt("raw", tcp, "${ATTACKER.v4}", 22)
`
