/**
 * Smallest number in `first … last` for which `fails` is true, when a larger number always fails once a smaller one does and
 * `last` is known to fail. Asks about log2 of the range times.
 */
export async function findFirstFailing(first: number, last: number, fails: (upTo: number) => Promise<boolean>): Promise<number> {
  let low = first;
  let high = last;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (await fails(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
