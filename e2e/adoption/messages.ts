/** What the process that adopts has to know; given as one JSON argument. */
export interface AdoptionArguments {
  readonly databaseUrl: string;
}

/** What it tells when it has come to its end. */
export type AdoptionMessage =
  | { readonly kind: 'done'; readonly scopes: number; readonly rows: number }
  | { readonly kind: 'error'; readonly text: string };
