/** What a server write has committed; counters are exact. */
export interface WrittenBundle {
  readonly bundleSeq: bigint;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
  readonly rowCount: number;
  /** SHA-256 of the bundle's canonical rows, in hexadecimal. */
  readonly bundleHash: string;
  /** Empty for a write without one. */
  readonly canonicalRequestHash: string;
}

/** The stored answer of a write with an operation id. */
export interface WriteReceipt {
  readonly operationHash: string;
  readonly autoInitialized: boolean;
  readonly bundle: WrittenBundle;
}

/** JSON text for `write_receipt.result`; counters as strings. */
export function formatReceiptResult(receipt: Omit<WriteReceipt, 'operationHash'>): string {
  const { bundle, autoInitialized } = receipt;
  return JSON.stringify({
    autoInitialized,
    ...bundle,
    bundleSeq: String(bundle.bundleSeq),
    sourceBundleId: String(bundle.sourceBundleId),
  });
}

/** Reads a row of `selectReceipt`. */
export function parseReceipt(row: readonly (string | null)[] | undefined): WriteReceipt | undefined {
  const [operationHash, result] = row ?? [];
  if (typeof operationHash !== 'string' || typeof result !== 'string') return undefined;
  const stored: unknown = JSON.parse(result);
  const text = (name: string): string => {
    const value: unknown = typeof stored === 'object' && stored !== null ? Reflect.get(stored, name) : undefined;
    if (typeof value === 'boolean' || typeof value === 'number') return String(value);
    if (typeof value === 'string') return value;
    throw new TypeError(`a stored receipt lacks ${name}`);
  };
  return {
    operationHash,
    autoInitialized: text('autoInitialized') === 'true',
    bundle: {
      bundleSeq: BigInt(text('bundleSeq')),
      sourceId: text('sourceId'),
      sourceBundleId: BigInt(text('sourceBundleId')),
      rowCount: Number(text('rowCount')),
      bundleHash: text('bundleHash'),
      canonicalRequestHash: text('canonicalRequestHash'),
    },
  };
}
