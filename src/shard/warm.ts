/**
 * Loads all that a shard may come to load, and ends: run by the worker once for each version of the code, so that Node's
 * compile cache, which a shard can only read, has it (src/worker/code-cache.ts).
 */
import '../proxy/requests-http2.ts'
import '../upstream/http2-pool.ts'
import './main.ts'
