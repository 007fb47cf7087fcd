"""What things are called in films' formulas: the lecture's letters of `explainer.symbols`, which figures use too."""

from explainer.symbols import computed as computed
from explainer.symbols import derivative as derivative
from explainer.symbols import partial as partial
from explainer.symbols import primed as primed
from explainer.symbols import spoken as spoken
from explainer.symbols import symbols as symbols
