/** A list with a fixed capacity that forgets its oldest item when a new one does not fit. */
export class Ring<T> {
  private readonly slots: (T | undefined)[];
  private head = 0;

  /** `capacity` is the number of items kept. */
  constructor(readonly capacity: number) {
    this.slots = new Array<T | undefined>(capacity);
  }

  /** The position of the oldest item; positions count from 0 and are never used twice. */
  get start(): number {
    return Math.max(0, this.head - this.capacity);
  }

  /** The position the next item will get. */
  get end(): number {
    return this.head;
  }

  /** Adds an item at `end` and returns the one it pushed out, if any. */
  push(item: T): T | undefined {
    const slot = this.head % this.capacity;
    const evicted = this.slots[slot];
    this.slots[slot] = item;
    this.head += 1;
    return evicted;
  }

  /** The item at a position; undefined when it is forgotten or not there yet. */
  get(position: number): T | undefined {
    return this.holds(position) ? this.slots[position % this.capacity] : undefined;
  }

  /** Replaces the item at a position; does nothing when it is forgotten. */
  set(position: number, item: T): void {
    if (this.holds(position)) this.slots[position % this.capacity] = item;
  }

  /** All items, oldest first. */
  toArray(): T[] {
    const items: T[] = [];
    for (let position = this.start; position < this.head; position++) {
      items.push(this.slots[position % this.capacity] as T);
    }
    return items;
  }

  private holds(position: number): boolean {
    return position >= this.start && position < this.head;
  }
}
