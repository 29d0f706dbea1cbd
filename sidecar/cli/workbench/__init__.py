"""What `epochgate policy` does with a policy before it is signed: explain, compare, time, replay.

Rules:

* `core/gate.decide` judges, as it does in a pod. What is worked out beside it, to show why, is held
  against its answer; where the two differ a command fails instead of explaining something else.
* What cannot be told is said to be so. Nothing here guesses a header, a clock or a table.
"""
