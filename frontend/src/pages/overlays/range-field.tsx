/** A number to choose by sliding. */

interface RangeFieldProps {
  label: string;
  min: number;
  max: number;
  step?: number;
  value: number;
  /** The value as it is shown. */
  shown: string;
  onChange: (value: number) => void;
}

/** A slider with its label before it and its value behind it. */
export function RangeField({ label, shown, onChange, ...range }: RangeFieldProps) {
  return (
    <label>
      <span>{label}</span>
      <input type="range" {...range} onChange={(event) => onChange(Number(event.target.value))} />
      <output>{shown}</output>
    </label>
  );
}
