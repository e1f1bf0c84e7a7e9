"""Rate maps, scores with their significance, and figures of any recorded signal, from any source."""

from analysis.autocorrelation import autocorrelogram
from analysis.figures import plot_neuron, plot_rate_maps
from analysis.grid import GridScore, grid_score, grid_spacing
from analysis.information import sparsity, spatial_information
from analysis.maps import Bins, mean_maps, rate_maps, smooth_maps, spike_rate_map
from analysis.neuron import Neuron, load_neuron
from analysis.ratemaps import write_ratemaps
from analysis.scores import neuron_scores, scores, to_csv
from analysis.significance import Significance, circular_shifts, shuffled_maps, significance
from analysis.sources import open_recording, path, topics
from analysis.style import save_figure

__all__ = [
    "Bins",
    "GridScore",
    "Neuron",
    "Significance",
    "autocorrelogram",
    "circular_shifts",
    "grid_score",
    "grid_spacing",
    "load_neuron",
    "mean_maps",
    "neuron_scores",
    "open_recording",
    "path",
    "plot_neuron",
    "plot_rate_maps",
    "rate_maps",
    "save_figure",
    "scores",
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
