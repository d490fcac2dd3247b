/** The network of the story: it can be taken away, as in a tunnel. */
export interface Network {
  isOnline: boolean;
  readonly transport: (request: Request) => Promise<Response>;
}

export function createNetwork(): Network {
  const network: Network = {
    isOnline: true,
    transport: (request) => (network.isOnline ? fetch(request) : Promise.reject(new TypeError('the network is unreachable'))),
  };
  return network;
}

/** Credentials from the development sign-in of the reference server; asked for again when the server refuses the token. */
export function createSignIn(
  serverUrl: string,
  user: string,
): (context: { readonly refresh: boolean }) => Promise<Readonly<Record<string, string>>> {
  let token: Promise<string> | undefined;
  return async ({ refresh }) => {
    if (refresh) token = undefined;
    token ??= signIn(serverUrl, user).catch((error: unknown) => {
      token = undefined;
      throw error;
    });
    return { Authorization: `Bearer ${await token}` };
  };
}

async function signIn(serverUrl: string, user: string): Promise<string> {
  const response = await fetch(`${serverUrl}/dummy-signin`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ user, password: 'development' }),
  });
  if (response.status !== 200) throw new Error(`the sign-in was answered with status ${response.status}`);
  const body: unknown = await response.json();
  if (typeof body !== 'object' || body === null || !('token' in body) || typeof body.token !== 'string') {
    throw new Error('the sign-in gave no token');
  }
  return body.token;
}
