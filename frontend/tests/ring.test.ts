import { expect, test } from "vitest";
import { Ring } from "@/live/ring";

function filled(capacity: number, count: number): Ring<number> {
  const ring = new Ring<number>(capacity);
  for (let value = 0; value < count; value++) ring.push(value);
  return ring;
}

test("keeps everything until it is full", () => {
  const ring = filled(4, 3);
  expect(ring.toArray()).toEqual([0, 1, 2]);
  expect([ring.start, ring.end]).toEqual([0, 3]);
});

test("forgets the oldest item and returns it", () => {
  const ring = filled(3, 3);
  expect(ring.push(3)).toBe(0);
  expect(ring.toArray()).toEqual([1, 2, 3]);
  expect([ring.start, ring.end]).toEqual([1, 4]);
});

test("a position names the same item for ever", () => {
  const ring = filled(3, 8);
  expect([4, 5, 7, 8].map((position) => ring.get(position))).toEqual([undefined, 5, 7, undefined]);
});

test("replaces what it holds and ignores what it forgot", () => {
  const ring = filled(3, 5);
  ring.set(3, 33);
  ring.set(1, 11);
  ring.set(5, 55);
  expect(ring.toArray()).toEqual([2, 33, 4]);
});
