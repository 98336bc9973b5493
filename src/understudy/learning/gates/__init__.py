"""The gates a trained version must pass before anybody is answered by it.

Owns what each gate asks, as pure functions from figures to a verdict. Does not own how the figures
come about (`learning.evaluation`) nor what follows from a verdict (`learning.versions`).

| gate | asks |
|---|---|
| G0 data | is what it was trained on fit to be trained on? |
| G1 run | did the training go well, and on the model that is used? |
| G2 better | does it say what it should have said in the new time more readily than the live one? |
| G3 not worse | has it forgotten nothing of older times and of the anchor rows? |
| G4 behaviour | does it behave: safe, discreet, of a sane length, in the right language? |
| G5 preference | do people like it better, blindly compared? |
"""
