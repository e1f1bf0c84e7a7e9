"""Rate maps, scores with their significance, and figures of any recorded signal, from any source."""

from analysis.autocorrelation import autocorrelogram
from analysis.band import band_score
from analysis.border import border_score
from analysis.classes import classes, shares
from analysis.figures import plot_neuron, plot_rate_maps
from analysis.grid import GridScore, grid_score, grid_spacing
from analysis.information import sparsity, spatial_information
from analysis.maps import Bins, mean_maps, rate_maps, smooth_maps, spike_rate_map
from analysis.neuron import Neuron, load_neuron
from analysis.populations import plot_populations
from analysis.ratemaps import write_ratemaps
from analysis.remapping import GridAtPlace, Remapping, grid_at_place, map_correlations, plot_remapping, remapping
from analysis.scores import neuron_scores, scores, to_csv
from analysis.significance import Significance, circular_shifts, shuffled_maps, significance
from analysis.sources import open_recording, path, topics
from analysis.style import save_figure

__all__ = [
    "Bins",
    "GridAtPlace",
    "GridScore",
    "Neuron",
    "Remapping",
    "Significance",
    "autocorrelogram",
    "band_score",
    "border_score",
    "circular_shifts",
    "classes",
    "grid_at_place",
    "grid_score",
    "grid_spacing",
    "load_neuron",
    "map_correlations",
    "mean_maps",
    "neuron_scores",
    "open_recording",
    "path",
    "plot_neuron",
    "plot_populations",
    "plot_rate_maps",
    "plot_remapping",
    "rate_maps",
    "remapping",
    "save_figure",
    "scores",
    "shares",
    "shuffled_maps",
    "significance",
    "smooth_maps",
    "sparsity",
    "spatial_information",
    "spike_rate_map",
    "to_csv",
    "topics",
    "write_ratemaps",
]
