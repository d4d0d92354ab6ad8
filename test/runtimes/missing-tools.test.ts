import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'
import { isClrkError } from '../../src/errors.ts'
import { findLocalTools } from '../../src/runtimes/local-tools.ts'

test('a missing program is named, with the package that has it', () => {
  const [error] = [() => findLocalTools('/nowhere')].map(find => {
    try {
      return find()
    } catch (thrown) {
      return thrown
    }
  })
  assert.ok(isClrkError(error))
  assert.deepEqual(error.fault, {
    code: 'CLRK_TOOL_MISSING',
    details: { tool: 'bwrap', path: '/nowhere', package: 'bubblewrap' },
  })
})

test('a missing libseccomp is named, with the package that has it', () => {
  const program = `
    import { compileSeccomp } from '${import.meta.dirname}/../../src/kernel/seccomp.ts'
    import { SECCOMP_PROFILE } from '${import.meta.dirname}/../../src/runtimes/seccomp.ts'
    try { compileSeccomp(SECCOMP_PROFILE) } catch (error) { console.log(error.message) }`
  // Hidden in a mount namespace that ends with the process.
  const script = `for f in $(ldconfig -p | sed -n 's/.*libseccomp.so.2.*=> //p'); do mount --bind /dev/null $f; done
    exec "$0" --input-type=module -e "$1"`
  const output = execFileSync('unshare', ['--mount', 'sh', '-c', script, process.execPath, program], {
    encoding: 'utf8',
  })
  assert.match(output, /libseccomp\.so\.2 is not installed .* apt-get install libseccomp2/)
})
