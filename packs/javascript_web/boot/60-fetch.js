// The engine's `fetch` does not follow redirects: ours does, each hop under the policy.
const MOST_REDIRECTS = 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const OF_BODIES = ['content-encoding', 'content-language', 'content-location', 'content-length', 'content-type'];

async function followed(input, init) {
  const mode = init?.redirect ?? (input instanceof Request ? input.redirect : undefined) ?? 'follow';
  let request = input instanceof Request && init === undefined ? input : new Request(input, withoutRedirect(init));
  // A body that is a stream is gone when it was sent once.
  let body = init?.body instanceof ReadableStream || (input instanceof Request && !init?.body && input.body) ? null : init?.body;
  const signal = init?.signal;
  for (let hops = 0; ; hops++) {
    const from = new URL(request.url), { method, headers } = request;
    const copied = new Headers(headers);
    const response = await web.fetch(request);
    const location = REDIRECTS.has(response.status) ? response.headers.get('location') : null;
    if (location === null || mode === 'manual') return told(response, from, hops);
    if (mode === 'error' || hops === MOST_REDIRECTS) throw new TypeError(mode === 'error' ? 'unexpected redirect' : 'redirect count exceeded');
    const to = new URL(location, from);
    if (to.protocol !== 'http:' && to.protocol !== 'https:') throw new TypeError(`a redirect to ${to.protocol} is not followed`);
    if (to.origin !== from.origin) for (const name of ['authorization', 'cookie', 'proxy-authorization']) copied.delete(name);
    const becomesGet = response.status === 303 ? method !== 'HEAD' && method !== 'GET' : response.status < 303 && method === 'POST';
    if (!becomesGet && body === null && method !== 'GET' && method !== 'HEAD') throw new TypeError('a body that is a stream cannot be sent again after a redirect');
    if (becomesGet) {
      body = undefined;
      for (const name of OF_BODIES) copied.delete(name);
    }
    request = new Request(to.href, {
      method: becomesGet ? 'GET' : method, headers: copied,
      ...(body === undefined || body === null ? {} : { body }), ...(signal ? { signal } : {}),
    });
  }
}
function withoutRedirect(init) {
  if (init?.redirect === undefined) return init;
  const { redirect, ...rest } = init;
  return rest;
}
function told(response, url, hops) {
  url.hash = '';
  for (const [name, value] of [['url', url.href], ['redirected', hops > 0]]) {
    try { Object.defineProperty(response, name, { value, configurable: true }); } catch { }
  }
  return response;
}
// The engine's own wants its argument.
const { abort } = AbortSignal;
AbortSignal.abort = (reason = new DOMException('signal is aborted without reason', 'AbortError')) => abort.call(AbortSignal, reason);

globalThis.fetch = function fetch(input, init) { return followed(input, init); };
