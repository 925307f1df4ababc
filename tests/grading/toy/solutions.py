"""Solutions of the toy week."""


def double(numbers):
    return 2 * numbers


def total(numbers):
    return numbers.sum()
