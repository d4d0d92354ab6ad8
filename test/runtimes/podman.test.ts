/** What the tests of containers say of Docker holds for Podman: its own ends and agents, in one engine. */
process.env.CLRK_TEST_ENGINE = 'podman' // read when test/world/engine.ts is loaded
await import('./docker-ends.test.ts')
await import('./docker-agents.test.ts')

export {}
