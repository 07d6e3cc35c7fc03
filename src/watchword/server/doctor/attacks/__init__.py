"""The attacks that the doctor tries, in their order.

A new one is a function, and a line in the list at the end of its file.
"""

from watchword.server.doctor.attacks import answers, disguises, forgeries, guesses, sessions

ALL = (*forgeries.ATTACKS, *sessions.ATTACKS, *disguises.ATTACKS, *answers.ATTACKS, *guesses.ATTACKS)
