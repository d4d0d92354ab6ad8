/** pip against a real index (pypiserver), at its default address and with no setting at all. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, makeWorkspace } from '../world/clrk.ts'
import { createWorld } from '../world/world.ts'
import { callerEnvironment, PYTHON, portOf } from './tools.ts'

test('pip install: a package with a dependency of 20 MB, into a virtual environment', async t => {
  const world = await createWorld(t)
  const packages = join(world.directory, 'wheels')
  const made = await world.host([join(PYTHON, 'python'), '-c', MAKE_WHEELS, packages])
  assert.equal(made.code, 0, made.stderr)
  const serve = ['run', '--interface', '0.0.0.0', '--port', String(portOf('pypi.org')), '--disable-fallback', packages]
  const index = world.spawnInternet([join(PYTHON, 'pypi-server'), '-v', ...serve])
  await index.saw(/Listening on/)

  const workspace = makeWorkspace(world)
  const options = { allow: ['pypi.org'], workspace, cwd: workspace, env: callerEnvironment(world) }
  const script = `python3 -m venv environment && environment/bin/pip install acme-top
    environment/bin/python -c 'import acme_top; print(acme_top.size)'`
  const { code, stdout, stderr } = await clrkRun(world, ['sh', '-ec', script], options)
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  assert.match(stdout, /^Successfully installed acme-top-1\.0 acme_large-1\.0\n20000000$/m)
  assert.deepEqual(await world.arrivals(), [])
})

/** A wheel is an archive with three files beside its content (PyPA's binary distribution format). */
const MAKE_WHEELS = `
import os, sys, zipfile
os.mkdir(sys.argv[1])
def wheel(name, requires, files):
    about = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n" + "".join(f"Requires-Dist: {r}\\n" for r in requires)
    kind = "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files = {**files, f"{about}/METADATA": metadata, f"{about}/WHEEL": kind}
    record = "".join(f"{path},,\\n" for path in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, content in {**files, f"{about}/RECORD": record}.items(): archive.writestr(path, content)
top = "import os, acme_large\\nsize = os.path.getsize(os.path.dirname(acme_large.__file__) + '/data')\\n"
wheel("acme_top", ["acme_large"], {"acme_top/__init__.py": top})
wheel("acme_large", [], {"acme_large/__init__.py": "", "acme_large/data": os.urandom(20_000_000)})
`
