/**
 * Where root looks for programs. Never in the caller's PATH first: npm run and direnv put directories of a project in
 * front of it, where an agent may have written. Debian keeps nft and ip in /usr/sbin, which a user's PATH may lack.
 */
export const TOOL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
