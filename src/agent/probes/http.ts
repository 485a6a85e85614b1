import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';
import { Unmet } from './unmet.ts';

/** GET; resolves for a status of 200 to 399, whatever the body. Redirects count as answers and are not followed. */
export function probeHttp({ url: text }: { readonly url: string }, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const url = new URL(text);
    const get = url.protocol === 'https:' ? getHttps : getHttp;
    const request = get(url, { signal, agent: false, headers: { 'user-agent': 'omni' } });
    request.on('error', reject);
    request.once('response', ({ statusCode = 0 }) => {
      request.destroy();
      if (statusCode >= 200 && statusCode < 400) resolve();
      else reject(new Unmet(`${url.host} answered with status ${statusCode}`));
    });
  });
}
