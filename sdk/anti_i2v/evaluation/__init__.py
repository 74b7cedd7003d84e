"""Does a protection spoil what image-to-video models make of a photo: on which models, after what, beside what control.

Light: models and nets load when they are asked for. `evidence.evaluate` ties the parts together; `victims` are the
models, `animation` has them make videos, `verdicts` puts numbers on a video, `controls` and `changes` say what the
protection is compared with and what happens to a photo on its way, `statistics` how sure a number is, and `doubts` when
no headline may be made of it.
"""
