"""The library's advice in the words of the shell: options in place of arguments."""

import re

_WORDS = (
    (r"outcomes=\{'?([^':]*)'?: ([\d.]+), \.\.\.\}", r"--outcome-value '\1=\2'"),
    (r"outcomes=\{\.\.\.\}", "--outcome-value WORD=NUMBER"),
    (r"(?<![/'\w])item_([ab])(?![/'\w])(=\.\.\.)?", r"--item-\1-column"),
    (r"\b(outcome|weight|item|judge|label|candidate|gold|ranking|rank)=\.\.\.", r"--\1-column"),
    (r"not a table: Rankings\.from_preflib reads it", "which is read where its name ends in .soc, .soi, .toc or .toi"),
    (r"Say which it is with format='soi', for example", "Give its name the ending that it should have"),
    (r"\blevels=(\[\.\.\.\]|\.\.\.)", "--levels"),
    # Where a run in a file differs: digests say nothing to people, and some settings follow from others.
    (r"\bprecondition \(\w+ there, \w+ now\), ", ""),
    (r"\b(model and prior|data) \(\w+ there, \w+ now\)", r"\1"),
    (r"\bkey \(\w+ there, \w+ now\)", "--seed"),
    (r"(\bkernel \(.*), chain_method \(\w+ there, \w+ now\)", r"\1"),
    (r"(\bkernel \(.*), blackjax \(None there, [^()]* now\)", r"\1"),
    (r"\bchain_method \(\w+ there, \w+ now\)", "--devices"),
    (r"\bkernel (?=\(\w+\()", "--kernel "),
    (
        r"method='laplace' integrates the parameters .* write the prior in its centred form, or use method='nuts'",
        "There is no Laplace approximation under this prior to propose from: use --kernel nuts",
    ),
    (
        r"; scorax\.data\.connectivity\(data, n_items\) says which\. Give a prior .* to keep the estimates finite\.",
        ". Use --method nuts or map: a prior keeps them finite.",
    ),
    (r"Use method='bayesian', or a prior\.", "Use --prior-precision 1, or --method nuts, instead of --bootstrap."),
    (r"use DavidsonLuce, or break them at random .*$", "use --model davidson-luce"),
    (r"time=\.\.\.", "--time-column"),
    (r": np\.floor\(time / length\)\.", ", such as days."),
    (r"or use BradleyTerry for soft labels", "or use --ties half for soft labels"),
    (r"method='(hmc|chees|mclmc|adjusted_mclmc|meads|laplace_metropolis)'", r"--kernel \1"),
    (r"--kernel (adjusted|laplace)_", r"--kernel \1-"),
    (r"method='(\w+)'", r"--method \1"),
    (r"\bnum_(chains|warmup)=", r"--\1 "),
    (r"\bnum_(chains|warmup)\b", r"--\1"),
    (r"\bnum_samples\b", "--draws"),
    (r" posterior\.check\(\) says more; all draws are kept\.", " All draws are kept."),
)


def in_words_of_the_shell(message: str) -> str:
    """The same advice with the command line's options in place of the library's arguments."""
    for pattern, option in _WORDS:
        message = re.sub(pattern, option, message)
    return message
