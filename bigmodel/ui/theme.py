"""The look of the page: mineral green on quiet paper, system fonts only, light and dark."""

import json
from pathlib import Path

from gradio.themes import Base, Color, Size

from bigmodel.ui.texts import I18N

HERE = Path(__file__).parent
SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "PingFang SC", "Microsoft YaHei")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

# lightest to darkest, as gr.themes.Color orders its shades
_MALACHITE = "#eff7f3 #d8ede4 #b0dbc9 #7dc3a8 #48a485 #258668 #186b53 #145745 #114638 #0d392e #07201a"
_INK = "#f7f8f6 #eef0ed #dfe3de #c6ccc6 #98a19a #69736c #515a54 #3c443f #262c28 #1a1e1b #111412"
MALACHITE, INK = Color(*_MALACHITE.split()), Color(*_INK.split())
RADIUS = Size("2px", "4px", "6px", "8px", "10px", "14px", "20px")


def build_theme():
    """Return the page's theme; no font or style of it comes from another host."""
    theme = Base(
        primary_hue=MALACHITE,
        secondary_hue=MALACHITE,
        neutral_hue=INK,
        radius_size=RADIUS,
        font=(*SANS, "sans-serif"),
        font_mono=MONO,
    )
    theme.name = "bigmodel"
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
        # blocks are bare: the page's own cards carry the borders
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_300",
        block_title_text_size="*text_sm",
        block_title_text_weight="550",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        block_info_text_size="*text_sm",
        layout_gap="18px",
        form_gap_width="0px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_background_fill_focus="white",
        input_background_fill_focus_dark="*neutral_900",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1px",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_shadow="none",
        input_shadow_focus="0 0 0 3px *primary_100",
        input_shadow_focus_dark="0 0 0 3px *primary_900",
        input_padding="9px 12px",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_secondary_text_color="*neutral_800",
        button_secondary_text_color_dark="*neutral_100",
        button_border_width="1px",
        button_primary_border_color="transparent",
        button_primary_border_color_dark="transparent",
        button_large_padding="10px 18px",
        button_large_text_size="*text_md",
        button_large_text_weight="600",
        button_small_padding="5px 12px",
        button_small_text_size="*text_sm",
        button_small_text_weight="500",
        error_background_fill="#fdf3f0",
        error_background_fill_dark="*neutral_900",
        error_text_color="#8f2d1c",
        error_text_color_dark="#f0a192",
        error_border_color="#c4513c",
        error_border_color_dark="#c4513c",
        error_icon_color="#c4513c",
        error_icon_color_dark="#f0a192",
    )


def page_css():
    """Return the style sheet that the theme's variables do not cover."""
    return (HERE / "page.css").read_text(encoding="utf-8")


def page_head():
    """Return what goes into the page's <head>: the scripts that draw passages, pictures, links and commands."""
    names = "page.js", "drawing.js", "sharing.js", "programs.js"
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)
    # "</" would end the script element
    texts = json.dumps(I18N.translations_dict, ensure_ascii=False).replace("</", "<\\/")
    return f"<script>{script.replace('/* texts */ {}', texts)}</script>"
