/** Words and icons for what happens on a stream. */
import {
  BadgeCheck,
  CalendarCheck,
  Gift,
  Heart,
  type LucideIcon,
  PartyPopper,
  Users,
  Zap,
} from "lucide-react";
import type { StreamEvent } from "@/client/live-events";

/** The icon of each kind of event. */
export const EVENT_ICONS: Record<StreamEvent["kind"], LucideIcon> = {
  sub: BadgeCheck,
  resub: CalendarCheck,
  gift: Gift,
  raid: Users,
  cheer: Zap,
  follow: Heart,
  other: PartyPopper,
};

const PHRASES: Record<StreamEvent["kind"], (amount: number) => string> = {
  sub: () => "subscribed",
  resub: (months) => (months > 0 ? `resubscribed, ${count(months, "month")}` : "resubscribed"),
  gift: (gifts) => `gave ${count(Math.max(gifts, 1), "gift sub")}`,
  raid: (viewers) => `raided with ${count(viewers, "viewer")}`,
  cheer: (bits) => `cheered ${count(bits, "bit")}`,
  follow: () => "followed",
  other: () => "did something",
};

/** What the person did, as the words after their name. */
export function describeEvent(event: StreamEvent): string {
  return PHRASES[event.kind](event.amount ?? 0);
}

function count(amount: number, noun: string): string {
  return `${amount.toLocaleString("en")} ${noun}${amount === 1 ? "" : "s"}`;
}
